    var url = gs.getProperty('x_firn.callback_url.@ID@');
    var key = gs.getProperty('x_firn.webhook_key.@ID@');
    if (!url || !key) {
      gs.error('[Firn] x_firn.callback_url.@ID@ or x_firn.webhook_key.@ID@ is not set; run: firn integration provision');
      return;
    }
