(function executeRule(current, previous) {
  // Auto-managed by Firn; do not edit. Tells Firn of every comment and work note, signed.
  try {
@ADDRESS@    var text = function (name) { return String(current.getValue(name) || ''); };
    var body = { sys_id: text('element_id'), table: 'sys_journal_field', action: 'insert',
      journal: { sys_id: text('sys_id'), element: text('element'), value: text('value'),
        sys_created_by: text('sys_created_by'), sys_created_on: text('sys_created_on') } };
@SEND@  } catch (e) {
    gs.error('[Firn] the journal webhook failed: ' + e);
  }
})(current, previous);
