(function process(request, response) {
  // Auto-managed by Firn; do not edit. Changes a ticket if it is as it was last seen; else answers 409
  // with the ticket as it is.
@SHOW@  var ticket = new GlideRecordSecure(table);
  if (!ticket.get(String(request.pathParams.id))) {
    return refuse(404, 'No Record found', "Record doesn't exist or ACL restricts the record retrieval");
  }
  if (String(ticket.getValue('sys_mod_count')) != String(body.expect)) {
    response.setStatus(409);
    response.setBody(show(ticket));
    return;
  }
  put(ticket, body.set);
  if (!ticket.update()) { return refuse(403, 'Operation Failed', String(ticket.getLastErrorMessage() || 'a rule or a policy refused it')); }
  ticket.get(String(request.pathParams.id));
  response.setStatus(200);
  response.setBody(show(ticket));
})(request, response);
