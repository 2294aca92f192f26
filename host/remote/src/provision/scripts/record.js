(function executeRule(current) {
  // Auto-managed by Firn; do not edit. Tells Firn that a record is new or was changed, signed. Of what is in it
  // only how it stands, so that a filter can tell; the rest Firn reads, as its own user.
  try {
@ADDRESS@    var text = function (name) {
      return current.isValidField(name) ? String(current.getValue(name) || '') : '';
    };
    // As the REST API shows it: getValue gives 1 or 0 for what is true or false.
    var shown = function (name) { return current.isValidField(name) ? String(current[name]) : ''; };
    var body = { sys_id: text('sys_id'), number: text('number'),
      table: text('sys_class_name') || String(current.getTableName()),
      action: current.operation() == 'insert' ? 'insert' : 'update',
      current: { active: shown('active'), workflow_state: shown('workflow_state'),
        sys_updated_on: text('sys_updated_on'), sys_created_on: text('sys_created_on') } };
@SEND@  } catch (e) {
    gs.error('[Firn] the record webhook failed: ' + e);
  }
})(current);
