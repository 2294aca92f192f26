// The objects that a business rule finds on an instance. ES5.
var __in = JSON.parse(__given);
function __ask(what) { return JSON.parse(__db(JSON.stringify(what))); }
var __aborted = false;

function GlideElement(value, shown) { this.__value = value; this.__shown = shown; }
GlideElement.prototype.toString = function () { return this.__value; };
GlideElement.prototype.valueOf = function () { return this.__value; };
GlideElement.prototype.getValue = function () { return this.__value; };
GlideElement.prototype.getDisplayValue = function () { return this.__shown; };
GlideElement.prototype.nil = function () { return this.__value === ''; };
GlideElement.prototype.toJSON = function () { return this.__value; };

// A column; one that refers to a row leads on to that row's columns: `current.caller_id.email`.
function __element(name, value, shown) {
  var element = new GlideElement(value, shown), row = null;
  var table = value && typeof Proxy !== 'undefined' ? __ask({ op: 'target', name: name }) : '';
  if (!table) { return element; }
  return new Proxy(element, {
    get: function (of, key) {
      if (key in of || typeof key !== 'string') { return of[key]; }
      if (row === null) { row = new GlideRecord(table); row.get(value); }
      return row[key];
    }
  });
}

function __record(row, shown, before) {
  var record = {};
  Object.keys(row).forEach(function (name) {
    var element = __element(name, row[name], shown && shown[name] !== undefined ? shown[name] : row[name]);
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
    var value = __ask({ op: 'property', name: String(name) });
    return value !== null ? value : (otherwise === undefined ? null : otherwise);
  },
  generateGUID: function () { return __ask({ op: 'guid' }); },
  getUserName: function () { return __in.user; },
  getUserID: function () { return __in.user_id; },
  hasRole: function () { return true; },
  nowNoTZ: function () { return __in.now; },
  nowDateTime: function () { return __in.now; },
  eventQueue: function () {},
  addErrorMessage: function (text) { __log('info', 'error message: ' + text); },
  addInfoMessage: function (text) { __log('info', 'message: ' + text); },
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

// Rows of a table. Columns of the row at hand are properties, as on an instance.
function GlideRecord(table) {
  function hide(of, name, value) { Object.defineProperty(of, name, { value: value, enumerable: false, writable: true }); }
  hide(this, '__table', String(table));
  hide(this, '__query', []);
  hide(this, '__limit', 10000);
  hide(this, '__rows', []);
  hide(this, '__at', -1);
  hide(this, '__before', null);
  hide(this, '__shown', {});
  hide(this, '__workflow', true);
  hide(this, '__guid', null);
  hide(this, '__error', '');
}
(function () {
  function put(name, f) { Object.defineProperty(GlideRecord.prototype, name, { value: f, enumerable: false, writable: true }); }
  put('addQuery', function (field, operator, value) {
    if (arguments.length === 1) { this.__query.push(String(field)); return this; }
    if (arguments.length === 2) { value = operator; operator = '='; }
    this.__query.push(String(field) + (operator === 'CONTAINS' ? 'LIKE' : String(operator)) + String(value));
    return this;
  });
  put('addEncodedQuery', function (query) { this.__query.push(String(query)); });
  put('addNullQuery', function (field) { this.__query.push(field + 'ISEMPTY'); });
  put('addNotNullQuery', function (field) { this.__query.push(field + 'ISNOTEMPTY'); });
  put('addActiveQuery', function () { this.__query.push('active=true'); });
  put('orderBy', function (field) { this.__query.push('ORDERBY' + field); });
  put('orderByDesc', function (field) { this.__query.push('ORDERBYDESC' + field); });
  put('setLimit', function (limit) { this.__limit = Number(limit); });
  put('query', function () {
    this.__rows = __ask({ op: 'query', table: this.__table, query: this.__query.join('^'), limit: this.__limit }) || [];
    this.__at = -1;
  });
  put('__take', function (row, shown) {
    var self = this;
    Object.keys(self).forEach(function (name) { delete self[name]; });
    Object.keys(row).forEach(function (name) {
      self[name] = __element(name, row[name], shown && shown[name] !== undefined ? shown[name] : row[name]);
    });
    self.__before = row;
    self.__shown = shown || {};
  });
  put('hasNext', function () { return this.__at + 1 < this.__rows.length; });
  put('next', function () {
    if (!this.hasNext()) { return false; }
    this.__at += 1;
    this.__take(this.__rows[this.__at].row, this.__rows[this.__at].shown);
    return true;
  });
  put('_next', function () { return this.next(); });
  put('get', function (field, value) {
    var query = arguments.length === 1 ? 'sys_id=' + field : field + '=' + value;
    this.__rows = __ask({ op: 'query', table: this.__table, query: query, limit: 1 }) || [];
    this.__at = -1;
    return this.next();
  });
  put('getLastErrorMessage', function () { return this.__error; });
  put('getRowCount', function () { return this.__rows.length; });
  put('initialize', function () { this.__take({}, {}); this.__before = null; });
  put('newRecord', function () { this.initialize(); });
  put('setNewGuidValue', function (guid) { this.__guid = String(guid); });
  put('setWorkflow', function (on) { this.__workflow = !!on; });
  put('autoSysFields', function () {});
  put('getValue', function (name) { return this[name] === undefined ? null : String(this[name]); });
  put('setValue', function (name, value) { this[name] = value; });
  put('getDisplayValue', function (name) {
    return name === undefined ? String(this.number || this.name || '') : String(this.__shown[name] !== undefined ? this.__shown[name] : this[name]);
  });
  put('getUniqueValue', function () { return this.sys_id === undefined ? null : String(this.sys_id); });
  put('getTableName', function () { return this.__table; });
  put('getRecordClassName', function () { return this.sys_class_name === undefined ? this.__table : String(this.sys_class_name); });
  put('isValidField', function (name) { return this[name] !== undefined; });
  put('isValidRecord', function () { return this.__before !== null; });
  put('isValid', function () { return true; });
  put('isNewRecord', function () { return this.__before === null; });
  put('canRead', function () { return true; });
  put('canWrite', function () { return true; });
  put('canCreate', function () { return true; });
  put('canDelete', function () { return true; });
  put('__changes', function () {
    var self = this, set = {}, before = this.__before || {};
    Object.keys(self).forEach(function (name) {
      var value = self[name] === null || self[name] === undefined ? '' : String(self[name]);
      if (before[name] !== value) { set[name] = value; }
    });
    return set;
  });
  put('insert', function () {
    var set = this.__changes();
    if (this.__guid) { set.sys_id = this.__guid; }
    var done = __ask({ op: 'insert', table: this.__table, set: set, workflow: this.__workflow });
    if (!done || !done.row) { this.__error = done && done.error; __log('error', 'an insert into ' + this.__table + ' failed: ' + this.__error); return null; }
    this.__take(done.row, {});
    return this.getUniqueValue();
  });
  put('update', function () {
    if (this.__before === null) { return this.insert(); }
    var done = __ask({ op: 'update', table: this.__table, sys_id: this.getUniqueValue(), set: this.__changes(), workflow: this.__workflow });
    if (!done || !done.row) { this.__error = done && done.error; __log('error', 'an update of ' + this.__table + ' failed: ' + this.__error); return null; }
    this.__take(done.row, {});
    return this.getUniqueValue();
  });
  put('deleteRecord', function () {
    var done = __ask({ op: 'delete', table: this.__table, sys_id: this.getUniqueValue(), workflow: this.__workflow });
    return !!(done && done.row);
  });
})();

// The same as the user may see and write it: what may not be read is null in memory, and what may not
// be written becomes null by writing it.
function GlideRecordSecure(table) { GlideRecord.call(this, table); }
GlideRecordSecure.prototype = Object.create(GlideRecord.prototype);
Object.defineProperty(GlideRecordSecure.prototype, '__take', { enumerable: false, value: function (row, shown) {
  var self = this, rights = __ask({ op: 'rights', table: this.__table, columns: Object.keys(row) }) || {};
  GlideRecord.prototype.__take.call(this, row, shown);
  Object.keys(row).forEach(function (name) {
    var right = rights[name] || 'write', element = self[name];
    if (right === 'none') { element = self[name] = new GlideElement('', ''); self.__before[name] = ''; }
    element.canRead = function () { return right !== 'none'; };
    element.canWrite = element.canCreate = function () { return right === 'write'; };
  });
} });
Object.defineProperty(GlideRecordSecure.prototype, '__changes', { enumerable: false, value: function () {
  var set = GlideRecord.prototype.__changes.call(this);
  var rights = __ask({ op: 'rights', table: this.__table, columns: Object.keys(set) }) || {};
  Object.keys(set).forEach(function (name) { if (rights[name] && rights[name] !== 'write') { set[name] = ''; } });
  return set;
} });

// A Scripted REST resource: what was asked, and what is answered.
var __asked = JSON.parse(__request);
var request = __asked && {
  body: {
    dataString: __asked.body,
    get data() { return JSON.parse(__asked.body || '{}'); },
    nextEntry: function () { return JSON.parse(__asked.body || '{}'); }
  },
  queryParams: __asked.query, pathParams: __asked.path, headers: __asked.headers, uri: __asked.uri,
  getHeader: function (name) { var value = __asked.headers[String(name).toLowerCase()]; return value === undefined ? null : value; }
};
var response = {
  __status: 200, __headers: [], __body: undefined,
  setStatus: function (status) { this.__status = Number(status); },
  setHeader: function (name, value) { this.__headers.push([String(name), String(value)]); },
  setContentType: function (type) { this.setHeader('content-type', type); },
  setLocation: function (url) { this.setHeader('location', url); },
  setBody: function (body) { this.__body = body; },
  setError: function (error) { this.__error = error; this.__status = error.status || 500; }
};
var sn_ws_err = {};
['BadRequestError', 'NotFoundError', 'ConflictError', 'ServiceError'].forEach(function (name, i) {
  sn_ws_err[name] = function (message) { this.status = [400, 404, 409, 500][i]; this.message = String(message); };
  sn_ws_err[name].prototype = {
    setStatus: function (status) { this.status = Number(status); },
    setMessage: function (message) { this.message = String(message); },
    setDetail: function (detail) { this.detail = String(detail); }
  };
});
function __answer(returned) {
  var error = response.__error;
  var body = error ? { error: { message: String(error.message || error), detail: error.detail || null }, status: 'failure' }
    : { result: response.__body !== undefined ? response.__body : (returned === undefined ? null : returned) };
  __leave(JSON.stringify({ status: response.__status, headers: response.__headers, body: body }), false);
}

function __done() {
  var row = {};
  Object.keys(current).forEach(function (name) { row[name] = String(current[name]); });
  __leave(JSON.stringify(row), __aborted);
}
