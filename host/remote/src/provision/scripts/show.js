  var show = function (record) {
    var asked = request.queryParams.sysparm_fields, names = String(asked || 'sys_id,number,sys_mod_count').split(',');
    var shown = {}, i, j, path, at;
    for (i = 0; i < names.length; i++) {
      path = names[i].split('.');
      at = record.isValidField(path[0]) ? record : null;
      // Columns of referenced rows too: caller_id.email. What may not be read is left out: it is not empty.
      for (j = 0; j < path.length && at !== null && at !== undefined; j++) {
        at = at[path[j]];
        if (at && typeof at.canRead == 'function' && !at.canRead()) { at = null; }
      }
      if (at !== null && at !== undefined) { shown[names[i]] = String(at); }
    }
    return shown;
  };
  var refuse = function (status, message, detail) {
    var error = new sn_ws_err.ServiceError();
    error.setStatus(status); error.setMessage(message); error.setDetail(detail);
    response.setError(error);
  };
  // A column that may not be written is left as it is.
  var put = function (record, set) {
    var column, element;
    for (column in set) {
      element = record[column];
      if (!element || typeof element.canWrite != 'function' || element.canWrite()) { record[column] = String(set[column]); }
    }
  };
  if (String(gs.getUserName()) != @USER@) { return refuse(403, 'Operation Failed', 'this resource is for another user'); }
  var table = String(request.pathParams.table), body = request.body.data;
  if (@TABLES@.indexOf(table) < 0) { return refuse(403, 'Operation Failed', 'this resource is not for the table ' + table); }
