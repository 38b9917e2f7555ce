package yuekang.bench;

import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Finds texts of the form of a document number: app.codec.carries_document_number. */
final class DocumentNumbers {
  private static final Pattern CARD =
      Pattern.compile(
          "(?<![0-9])[1-9]\\d{5}(?:18|19|20)\\d\\d(?:0[1-9]|1[0-2])"
              + "(?:0[1-9]|[12]\\d|3[01])\\d{3}[\\dXx](?![0-9A-Za-z])");
  private static final Pattern SEQUENCE = Pattern.compile("\"sequence\"\\s*:\\s*\"[0-9]*\"");
  private static final Pattern PERMIT = Pattern.compile("\"[HMhm]\\d{8}(?:\\d\\d)?\"");
  private static final Pattern ESCAPED = Pattern.compile("\\\\u00([0-7][0-9A-Fa-f])");
  private static final int[] WEIGHTS = {7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2};

  private DocumentNumbers() {}

  static boolean isIn(byte[] raw) {
    // One pass tells nearly every event from those that need the slow look.
    int digits = 0;
    boolean slow = false;
    byte before = 0;
    for (byte b : raw) {
      if (b >= '0' && b <= '9') {
        slow |= ++digits == 17;
      } else {
        digits = 0;
        slow |= before == '"' && (b == 'H' || b == 'M' || b == 'h' || b == 'm');
        slow |= before == '\\' && b == 'u';
      }
      before = b;
    }
    return slow && isIn(new String(raw, StandardCharsets.ISO_8859_1));
  }

  private static boolean isIn(String text) {
    String plain =
        ESCAPED
            .matcher(text)
            .replaceAll(
                escaped ->
                    Matcher.quoteReplacement(
                        String.valueOf((char) Integer.parseInt(escaped.group(1), 16))));
    if (PERMIT.matcher(plain).find()) {
      return true;
    }
    return CARD
        .matcher(SEQUENCE.matcher(plain).replaceAll(""))
        .results()
        .anyMatch(found -> hasRightCheck(found.group()));
  }

  /** ISO 7064 MOD 11-2. */
  private static boolean hasRightCheck(String number) {
    int sum = 0;
    for (int i = 0; i < 17; i++) {
      sum += (number.charAt(i) - '0') * WEIGHTS[i];
    }
    return "10X98765432".charAt(sum % 11) == Character.toUpperCase(number.charAt(17));
  }
}
