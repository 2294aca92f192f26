(function executeRule(current, previous) {
  // Auto-managed by Firn; do not edit. Answers `firn integration test`: shows that webhooks arrive.
  try {
@ADDRESS@    var body = { table: 'x_firn_ping', action: 'ping', nonce: String(current.getValue('value') || '') };
@SEND@  } catch (e) {
    gs.error('[Firn] the ping failed: ' + e);
  }
})(current, previous);
