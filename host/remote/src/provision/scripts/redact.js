(function executeRule(current, previous) {
  // Auto-managed by Firn; do not edit. Redacts card and social security numbers before a save.
  var isCard = function (digits) {
    var sum = 0, i, d;
    if (digits.length < 13 || digits.length > 19 || /^(\d)\1*$/.test(digits)) { return false; }
    for (i = 0; i < digits.length; i++) {
      d = Number(digits.charAt(digits.length - 1 - i));
      if (i % 2 == 1) { d = d * 2 > 9 ? d * 2 - 9 : d * 2; }
      sum += d;
    }
    return sum % 10 == 0;
  };
  // A run of groups of digits may hold a card and what stands beside it (a date, a check number): every
  // stretch that begins and ends with a group is looked at, the longest first.
  var cards = function (run) {
    var groups = run.split(/[^0-9]/), out = '', at = 0, i, j, k, digits, found;
    for (i = 0; i < groups.length; i++) {
      found = 0;
      for (j = Math.min(groups.length, i + 19); j > i && !found; j--) {
        digits = groups.slice(i, j).join('');
        if (isCard(digits)) { found = j; }
      }
      if (found) {
        out += '[CARD ' + digits.slice(-4) + ']';
        for (k = i; k < found; k++) { at += groups[k].length + (k > i ? 1 : 0); }
        i = found - 1;
      } else {
        out += groups[i];
        at += groups[i].length;
      }
      out += run.charAt(at);
      at += 1;
    }
    return out;
  };
  var redacted = function (text) {
    return text
      .replace(/(^|[^0-9A-Za-z])(\d(?:[ .\-]?\d){12,40})(?![0-9A-Za-z])/g, function (all, before, run) { return before + cards(run); })
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
