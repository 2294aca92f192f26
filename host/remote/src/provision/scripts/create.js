(function process(request, response) {
  // Auto-managed by Firn; do not edit. Makes a ticket whose sys_id follows from its key: the primary key
  // refuses a second one, however many requests come at once.
@SHOW@  var id = String(body.sys_id || '');
  if (!/^[0-9a-f]{32}$/.test(id)) { return refuse(400, 'Operation Failed', 'sys_id is missing'); }
  var made = new GlideRecordSecure(table);
  if (made.get(id)) { response.setStatus(200); response.setBody(show(made)); return; }
  made = new GlideRecordSecure(table);
  made.initialize();
  made.setNewGuidValue(id);
  put(made, body.set);
  var done = made.insert(), there = new GlideRecordSecure(table);
  if (!there.get(id)) { return refuse(403, 'Operation Failed', String(made.getLastErrorMessage() || 'a rule or a policy refused it')); }
  response.setStatus(done ? 201 : 200);
  response.setBody(show(there));
})(request, response);
