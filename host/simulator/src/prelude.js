// The objects that a business rule finds on an instance. ES5.
var __in = JSON.parse(__given), __props = JSON.parse(__properties), __ids = JSON.parse(__guids);
var __aborted = false;

function GlideElement(value, shown) { this.__value = value; this.__shown = shown; }
GlideElement.prototype.toString = function () { return this.__value; };
GlideElement.prototype.valueOf = function () { return this.__value; };
GlideElement.prototype.getValue = function () { return this.__value; };
GlideElement.prototype.getDisplayValue = function () { return this.__shown; };
GlideElement.prototype.nil = function () { return this.__value === ''; };
GlideElement.prototype.toJSON = function () { return this.__value; };

function __record(row, shown, before) {
  var record = {};
  Object.keys(row).forEach(function (name) {
    var element = new GlideElement(row[name], shown && shown[name] !== undefined ? shown[name] : row[name]);
    element.changes = function () { return !before || before[name] !== row[name]; };
    element.changesTo = function (value) { return element.changes() && row[name] === String(value); };
    element.changesFrom = function (value) { return !!before && before[name] === String(value) && element.changes(); };
    record[name] = element;
  });
  function hide(name, f) { Object.defineProperty(record, name, { value: f, enumerable: false }); }
  hide('getValue', function (name) { return record[name] === undefined ? null : String(record[name]); });
  hide('setValue', function (name, value) { record[name] = value; });
  hide('getDisplayValue', function (name) { return record[name] === undefined ? '' : record[name].getDisplayValue(); });
  hide('isValidField', function (name) { return record[name] !== undefined; });
  hide('getTableName', function () { return __in.table; });
  hide('getRecordClassName', function () { return __in.table; });
  hide('getUniqueValue', function () { return String(record.sys_id); });
  hide('isNewRecord', function () { return !before; });
  hide('operation', function () { return before ? 'update' : 'insert'; });
  hide('setAbortAction', function (abort) { __aborted = !!abort; });
  return record;
}

var current = __record(__in.current, __in.shown, __in.previous);
var previous = __in.previous ? __record(__in.previous, null, null) : null;

var gs = {
  getProperty: function (name, otherwise) {
    return __props[name] !== undefined ? __props[name] : (otherwise === undefined ? null : otherwise);
  },
  generateGUID: function () { return __ids.shift() || '00000000000000000000000000000000'; },
  getUserName: function () { return __in.user; },
  nowNoTZ: function () { return __in.now; },
  nil: function (value) { return value === null || value === undefined || String(value) === ''; }
};
['info', 'warn', 'error', 'debug'].forEach(function (level) {
  gs[level] = function (text) {
    for (var i = 1; i < arguments.length; i++) { text = String(text).replace('{' + (i - 1) + '}', String(arguments[i])); }
    __log(level, String(text));
  };
});
gs.log = gs.info;

function GlideDateTime() { this.__ms = Date.parse(__in.now.replace(' ', 'T') + 'Z'); }
GlideDateTime.prototype.getValue = function () { return __in.now; };
GlideDateTime.prototype.toString = function () { return __in.now; };
GlideDateTime.prototype.getNumericValue = function () { return this.__ms; };

function GlideCertificateEncryption() {}
GlideCertificateEncryption.prototype.generateMac = function (key, algorithm, data) {
  if (algorithm !== 'HmacSHA256') { throw new Error('unknown algorithm ' + algorithm); }
  return __mac(String(key), String(data));
};
var CertificateEncryption = GlideCertificateEncryption;

var sn_ws = {};
sn_ws.RESTMessageV2 = function () {
  this.__url = ''; this.__method = 'GET'; this.__headers = []; this.__body = ''; this.__substitute = true;
};
sn_ws.RESTMessageV2.prototype = {
  setEndpoint: function (url) { this.__url = String(url); },
  setHttpMethod: function (method) { this.__method = String(method).toUpperCase(); },
  setRequestHeader: function (name, value) { this.__headers.push([String(name), String(value)]); },
  setRequestBody: function (body) { this.__body = String(body); },
  setHttpTimeout: function () {}, setLogLevel: function () {}, setMIDServer: function () {},
  setEccParameter: function () {}, setBasicAuth: function () {}, setAuthenticationProfile: function () {},
  disableForcedVariableSubstitution: function () { this.__substitute = false; },
  setStringParameterNoEscape: function () {}, setStringParameter: function () {},
  executeAsync: function () {
    // Variables that nobody set vanish: unless it is switched off, a text with ${x} is changed.
    var plain = function (text) { return text.replace(/\$\{[^}]*\}/g, ''); };
    var substitute = this.__substitute ? plain : function (text) { return text; };
    __send(JSON.stringify({
      url: substitute(this.__url), method: this.__method, headers: this.__headers, body: substitute(this.__body)
    }));
    return { waitForResponse: function () {}, getStatusCode: function () { return 0; }, getBody: function () { return ''; } };
  },
  // Blocks the save on an instance; here the answer is not waited for, and nothing is ever repeated.
  execute: function () { return this.executeAsync(); }
};

function __done() {
  var row = {};
  Object.keys(current).forEach(function (name) { row[name] = String(current[name]); });
  __leave(JSON.stringify(row), __aborted);
}
