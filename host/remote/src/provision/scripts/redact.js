(function executeRule(current, previous) {
  // Auto-managed by Firn; do not edit. Redacts card and social security numbers before a save.
  var card = function (run) {
    var digits = run.replace(/[^0-9]/g, ''), sum = 0, i, d;
    if (digits.length < 13 || digits.length > 19 || /^(\d)\1*$/.test(digits)) { return run; }
    for (i = 0; i < digits.length; i++) {
      d = Number(digits.charAt(digits.length - 1 - i));
      if (i % 2 == 1) { d = d * 2 > 9 ? d * 2 - 9 : d * 2; }
      sum += d;
    }
    return sum % 10 == 0 ? '[CARD ' + digits.slice(-4) + ']' : run;
  };
  var redacted = function (text) {
    return text
      .replace(/(^|[^0-9A-Za-z.])((?:\d[ \-]?){12,18}\d)(?![0-9])/g, function (all, before, run) { return before + card(run); })
      .replace(/(^|[^0-9\-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![0-9\-])/g, '$1[SSN]');
  };
  try {
    var names = @COLUMNS@, i, text, clean;
    for (i = 0; i < names.length; i++) {
      text = current.isValidField(names[i]) ? String(current.getValue(names[i]) || '') : '';
      clean = redacted(text);
      if (clean !== text) { current.setValue(names[i], clean); }
    }
  } catch (e) {
    gs.error('[Firn] redaction on save failed: ' + e);
  }
})(current, previous);
