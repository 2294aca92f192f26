(function executeRule(current, previous) {
  // Auto-managed by Firn; do not edit. Tells Firn of every new attachment of a ticket, signed.
  try {
@ADDRESS@    var text = function (name) { return String(current.getValue(name) || ''); };
    var body = { sys_id: text('table_sys_id'), table: 'sys_attachment', action: 'insert',
      attachment: { sys_id: text('sys_id'), file_name: text('file_name'), content_type: text('content_type'),
        size_bytes: text('size_bytes'), table_name: text('table_name'),
        sys_created_by: text('sys_created_by'), sys_created_on: text('sys_created_on') } };
@SEND@  } catch (e) {
    gs.error('[Firn] the attachment webhook failed: ' + e);
  }
})(current, previous);
