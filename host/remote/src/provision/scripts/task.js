(function executeRule(current, previous) {
  // Auto-managed by Firn; do not edit. Tells Firn of every change of a task, signed.
  try {
@ADDRESS@    var text = function (record, name) {
      return record && record.isValidField(name) ? String(record.getValue(name) || '') : '';
    };
    var names = ['short_description', 'description', 'state', 'priority', 'urgency', 'impact', 'assignment_group',
      'assigned_to', 'caller_id', 'company', 'category', 'correlation_id', 'sys_updated_on', 'sys_created_on'];
    var now = {}, before = {}, i;
    for (i = 0; i < names.length; i++) { now[names[i]] = text(current, names[i]); }
    var insert = current.operation() == 'insert';
    var body = { sys_id: text(current, 'sys_id'), number: text(current, 'number'),
      sys_mod_count: text(current, 'sys_mod_count'), table: text(current, 'sys_class_name'),
      action: insert ? 'insert' : 'update', current: now };
    if (!insert && previous) {
      for (i = 0; i < names.length; i++) { before[names[i]] = text(previous, names[i]); }
      body.previous = before;
    }
@SEND@  } catch (e) {
    gs.error('[Firn] the task webhook failed: ' + e);
  }
})(current, previous);
