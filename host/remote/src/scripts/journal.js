(function executeRule(current, previous) {
  // Auto-managed by Firn; do not edit. Tells Firn of every comment and work note, signed.
  try {
    var url = gs.getProperty('x_firn.callback_url.@ID@');
    var key = gs.getProperty('x_firn.webhook_key.@ID@');
    if (!url || !key) {
      gs.error('[Firn] x_firn.callback_url.@ID@ or x_firn.webhook_key.@ID@ is not set; run: firn integration provision');
      return;
    }
    var text = function (name) { return String(current.getValue(name) || ''); };
    var body = { sys_id: text('element_id'), table: 'sys_journal_field', action: 'insert',
      journal: { sys_id: text('sys_id'), element: text('element'), value: text('value'),
        sys_created_by: text('sys_created_by'), sys_created_on: text('sys_created_on') } };
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
    gs.error('[Firn] the journal webhook failed: ' + e);
  }
})(current, previous);
