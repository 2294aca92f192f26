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
@MID@    request.executeAsync();
