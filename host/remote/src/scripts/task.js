(function executeRule(current, previous) {
  // Auto-managed by Firn; do not edit. Tells Firn of every change of a task, signed.
  try {
    var url = gs.getProperty('x_firn.callback_url.@ID@');
    var key = gs.getProperty('x_firn.webhook_key.@ID@');
    if (!url || !key) {
      gs.error('[Firn] x_firn.callback_url.@ID@ or x_firn.webhook_key.@ID@ is not set; run: firn integration provision');
      return;
    }
    var text = function (record, name) {
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
    // ASCII only, so that the signed bytes are the same under any charset.
    var json = JSON.stringify(body).replace(/[\u007f-\uffff]/g, function (c) {
      return '\\u' + ('0000' + c.charCodeAt(0).toString(16)).slice(-4);
    });
    var id = String(gs.generateGUID());
    var seconds = Math.floor(new GlideDateTime().getNumericValue() / 1000);
    var mac = new GlideCertificateEncryption().generateMac(key, 'HmacSHA256', id + '.' + seconds + '.' + json);
    var request = new sn_ws.RESTMessageV2();
    request.disableForcedVariableSubstitution();
    request.setEndpoint(url);
    request.setHttpMethod('POST');
    request.setRequestHeader('Content-Type', 'application/json');
    request.setRequestHeader('webhook-id', id);
    request.setRequestHeader('webhook-timestamp', String(seconds));
    request.setRequestHeader('webhook-signature', 'v1,' + mac);
    request.setRequestBody(json);
    request.executeAsync();
  } catch (e) {
    gs.error('[Firn] the task webhook failed: ' + e);
  }
})(current, previous);
