package yuekang.bench;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParseException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.format.DateTimeParseException;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Pattern;
import yuekang.bench.model.Event;
import yuekang.bench.model.Event.DocumentType;
import yuekang.bench.model.Event.Noun;
import yuekang.bench.model.Event.ProvincialColour;
import yuekang.bench.model.Event.QuarantineKind;
import yuekang.bench.model.Event.Result;
import yuekang.bench.model.Event.ResultStatus;
import yuekang.bench.model.Event.RetractionReason;

/** Bytes to events: the checks of app/topics/codec.py and models/events.py, in structured mode. */
final class Decoder {
  private static final int VALUE_BYTES_MAX = 65_536;

  private static final Pattern PERSON = Pattern.compile("p[1-9][0-9]{0,3}-[a-z2-7]{32}");
  private static final Pattern ID = Pattern.compile("[!-~]{1,64}");
  private static final Pattern SOURCE = Pattern.compile("(/[a-z0-9]+(-[a-z0-9]+)*)+");
  private static final Pattern SEQUENCE = Pattern.compile("0|[1-9][0-9]{0,17}");
  private static final Pattern DIVISION = Pattern.compile("[1-8][0-9]{5}");
  private static final Pattern PROVINCE =
      Pattern.compile("1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[12]");
  private static final Pattern NUMBER = Pattern.compile("[0-9A-Za-z][0-9A-Za-z.-]{0,47}");
  private static final Pattern NAME = Pattern.compile("[^\\x00-\\x1f\\x7f]{1,100}");

  private static final Instant EARLIEST = Instant.parse("2019-11-30T16:00:00Z");
  private static final Duration CLOCK_SKEW = Duration.ofMinutes(10);
  private static final Duration AHEAD_MAX = Duration.ofDays(366);

  private final ObjectReader reader =
      JsonMapper.builder(
              JsonFactory.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build())
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build()
          .readerFor(JsonNode.class);

  @FunctionalInterface
  private interface DataReader {
    Event.Data read(Fields fields) throws Refusal;
  }

  /** How the data of a type is read, and which sources may send it. */
  private record Type(String authority, DataReader data) {}

  private static final Map<String, Type> TYPES = new HashMap<>();

  static {
    String identities = "/identity-providers/";
    String laboratories = "/laboratories/";
    String cdc = "/cdc/";
    String commands = "/quarantine-commands/";
    String provinces = "/provinces/";
    TYPES.put(
        "yuekang.identity.verified.v1",
        new Type(
            identities,
            f ->
                new Event.IdentityVerified(
                    f.instant("verified_at"),
                    f.word("document_type", DocumentType.class),
                    f.text("city", DIVISION))));
    TYPES.put(
        "yuekang.nat-result.reported.v1",
        new Type(
            laboratories,
            f ->
                new Event.NatResult(
                    f.instant("sampled_at"),
                    f.instant("reported_at"),
                    f.word("result", Result.class),
                    f.text("institution", NAME),
                    f.wordOr("status", ResultStatus.class, ResultStatus.FINAL))));
    TYPES.put(
        "yuekang.case.suspected.v1",
        new Type(
            cdc, f -> new Event.CaseSuspected(f.text("case", NUMBER), f.instant("reported_at"))));
    TYPES.put(
        "yuekang.case.confirmed.v1",
        new Type(
            cdc, f -> new Event.CaseConfirmed(f.text("case", NUMBER), f.instant("confirmed_at"))));
    TYPES.put(
        "yuekang.case.excluded.v1",
        new Type(
            cdc, f -> new Event.CaseExcluded(f.text("case", NUMBER), f.instant("excluded_at"))));
    TYPES.put(
        "yuekang.case.discharged.v1",
        new Type(
            cdc,
            f -> new Event.CaseDischarged(f.text("case", NUMBER), f.instant("discharged_at"))));
    TYPES.put(
        "yuekang.contact.listed.v1",
        new Type(
            cdc,
            f ->
                new Event.ContactListed(
                    f.text("listing", NUMBER),
                    f.instant("last_exposure_at"),
                    f.instant("listed_at"))));
    TYPES.put(
        "yuekang.contact.withdrawn.v1",
        new Type(
            cdc,
            f ->
                new Event.ContactWithdrawn(
                    f.text("listing", NUMBER), f.instant("withdrawn_at"))));
    TYPES.put(
        "yuekang.quarantine.ordered.v1",
        new Type(
            commands,
            f ->
                new Event.QuarantineOrdered(
                    f.text("order", NUMBER),
                    f.word("kind", QuarantineKind.class),
                    f.instant("starts_at"),
                    f.instant("planned_end_at"))));
    TYPES.put(
        "yuekang.quarantine.transferred.v1",
        new Type(
            commands,
            f ->
                new Event.QuarantineTransferred(
                    f.text("order", NUMBER),
                    f.word("kind", QuarantineKind.class),
                    f.instant("transferred_at"),
                    f.instant("planned_end_at"))));
    TYPES.put(
        "yuekang.quarantine.released.v1",
        new Type(
            commands,
            f ->
                new Event.QuarantineReleased(
                    f.text("order", NUMBER),
                    f.text("notice", NUMBER),
                    f.instant("released_at"))));
    TYPES.put(
        "yuekang.provincial-code.reported.v1",
        new Type(
            provinces,
            f ->
                new Event.ProvincialCode(
                    f.text("province", PROVINCE),
                    f.word("colour", ProvincialColour.class),
                    f.instant("reported_at"))));
    Map.of(
            Noun.IDENTITY, identities,
            Noun.NAT_RESULT, laboratories,
            Noun.CASE, cdc,
            Noun.CONTACT, cdc,
            Noun.QUARANTINE, commands,
            Noun.PROVINCIAL_CODE, provinces)
        .forEach(
            (noun, authority) ->
                TYPES.put(
                    "yuekang." + noun.word + ".retracted.v1",
                    new Type(
                        authority,
                        f ->
                            new Event.Retraction(noun, f.word("reason", RetractionReason.class)))));
  }

  /** Returns the event in a record, or refuses it. */
  Event decode(byte[] value, String key, Instant arrivedAt) throws Refusal {
    if (value != null && DocumentNumbers.isIn(value)
        || key != null && DocumentNumbers.isIn(('"' + key + '"').getBytes(StandardCharsets.UTF_8))) {
      throw new Refusal("document-number");
    }
    if (value == null) {
      throw new Refusal("tombstone");
    }
    if (value.length > VALUE_BYTES_MAX) {
      throw new Refusal("too-large");
    }
    Event event = event(parse(value), arrivedAt);
    if (!event.person().equals(key)) {
      throw new Refusal("key");
    }
    return event;
  }

  private JsonNode parse(byte[] value) throws Refusal {
    try {
      JsonNode parsed = reader.readTree(value);
      for (byte b : value) {
        if (b == '\\') {
          refuseNul(parsed);
          break;
        }
      }
      return parsed;
    } catch (JsonParseException error) {
      if (!isUtf8(value)) {
        throw new Refusal("not-utf-8");
      }
      boolean twice = error.getOriginalMessage().startsWith("Duplicate field");
      throw new Refusal(twice ? "duplicate-key" : contains(value, 0) ? "nul" : "not-json");
    } catch (IOException error) {
      throw new Refusal(isUtf8(value) ? "not-json" : "not-utf-8");
    }
  }

  private static boolean isUtf8(byte[] value) {
    try {
      StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(value));
      return true;
    } catch (CharacterCodingException error) {
      return false;
    }
  }

  private static boolean contains(byte[] value, int wanted) {
    for (byte b : value) {
      if (b == wanted) {
        return true;
      }
    }
    return false;
  }

  private static void refuseNul(JsonNode node) throws Refusal {
    if (node.isTextual() && node.textValue().indexOf(0) >= 0) {
      throw new Refusal("nul");
    }
    for (JsonNode child : node) {
      refuseNul(child);
    }
  }

  private static Event event(JsonNode parsed, Instant arrivedAt) throws Refusal {
    if (!parsed.isObject()) {
      throw new Refusal("not-a-cloudevent");
    }
    JsonNode version = parsed.get("specversion");
    JsonNode typeName = parsed.get("type");
    if (version == null
        || !"1.0".equals(version.textValue())
        || typeName == null
        || !typeName.isTextual()) {
      throw new Refusal("not-a-cloudevent");
    }
    Type type = TYPES.get(typeName.textValue());
    if (type == null) {
      throw new Refusal("unknown-type");
    }
    JsonNode data = parsed.get("data");
    if (parsed.has("document") || data != null && data.isObject() && data.has("document")) {
      throw new Refusal("document-number");
    }
    Fields envelope = new Fields(parsed);
    envelope.known("specversion");
    envelope.known("type");
    if (!"application/json".equals(envelope.optional("datacontenttype", "application/json"))) {
      throw new Refusal("invalid");
    }
    String supersedes = envelope.optional("supersedes", null);
    if (supersedes != null) {
      matched(supersedes, ID);
    }
    String source = envelope.text("source", SOURCE);
    if (source.length() > 96) {
      throw new Refusal("invalid");
    }
    Fields fields = new Fields(envelope.object("data"));
    Event.Data read = type.data.read(fields);
    fields.end();
    Event event =
        new Event(
            envelope.text("id", ID),
            source,
            envelope.instant("time"),
            envelope.text("partitionkey", PERSON),
            envelope.text("sequence", SEQUENCE),
            supersedes,
            read);
    envelope.end();
    if (!source.startsWith(type.authority)
        || read instanceof Event.ProvincialCode code
            && !source.equals("/provinces/" + code.province())) {
      throw new Refusal("no-authority");
    }
    check(event, arrivedAt);
    return event;
  }

  /** What one field says of another and of the time of arrival: models.events.faults. */
  private static void check(Event event, Instant arrivedAt) throws Refusal {
    Instant now = arrivedAt.plus(CLOCK_SKEW);
    Instant planned = arrivedAt.plus(AHEAD_MAX);
    within(event.time(), now);
    if (event.id().equals(event.supersedes())) {
      throw new Refusal("invalid");
    }
    Event.Data data = event.data();
    if (data instanceof Event.NatResult result) {
      within(result.sampledAt(), now);
      within(result.reportedAt(), now);
      notAfter(result.sampledAt(), result.reportedAt());
    } else if (data instanceof Event.IdentityVerified verified) {
      within(verified.verifiedAt(), now);
    } else if (data instanceof Event.CaseReport report) {
      within(report.at(), now);
    } else if (data instanceof Event.ContactListed listed) {
      within(listed.lastExposureAt(), now);
      within(listed.listedAt(), now);
      notAfter(listed.lastExposureAt(), listed.listedAt());
    } else if (data instanceof Event.ContactWithdrawn withdrawn) {
      within(withdrawn.withdrawnAt(), now);
    } else if (data instanceof Event.QuarantineOrdered step) {
      within(step.at(), planned);
      within(step.plannedEndAt(), planned);
      before(step.at(), step.plannedEndAt());
    } else if (data instanceof Event.QuarantineTransferred step) {
      within(step.at(), now);
      within(step.plannedEndAt(), planned);
      before(step.at(), step.plannedEndAt());
    } else if (data instanceof Event.QuarantineReleased released) {
      within(released.at(), now);
    } else if (data instanceof Event.ProvincialCode code) {
      within(code.reportedAt(), now);
    } else if (event.supersedes() == null) {
      throw new Refusal("invalid"); // a retraction that names nothing
    }
  }

  private static void within(Instant instant, Instant latest) throws Refusal {
    if (instant.isBefore(EARLIEST) || instant.isAfter(latest)) {
      throw new Refusal("invalid");
    }
  }

  private static void notAfter(Instant first, Instant second) throws Refusal {
    if (first.isAfter(second)) {
      throw new Refusal("invalid");
    }
  }

  private static void before(Instant first, Instant second) throws Refusal {
    if (!first.isBefore(second)) {
      throw new Refusal("invalid");
    }
  }

  private static String matched(String text, Pattern pattern) throws Refusal {
    if (text == null || !pattern.matcher(text).matches()) {
      throw new Refusal("invalid");
    }
    return text;
  }

  /** The fields of an object; at the end, none may be left that nobody asked for. */
  private static final class Fields {
    private final JsonNode object;
    private int asked;

    Fields(JsonNode object) {
      this.object = object;
    }

    private JsonNode get(String name) throws Refusal {
      JsonNode field = object.get(name);
      if (field == null) {
        throw new Refusal("invalid");
      }
      asked++;
      return field;
    }

    void known(String name) throws Refusal {
      get(name);
    }

    JsonNode object(String name) throws Refusal {
      JsonNode field = get(name);
      if (!field.isObject()) {
        throw new Refusal("invalid");
      }
      return field;
    }

    String text(String name, Pattern pattern) throws Refusal {
      return matched(get(name).textValue(), pattern);
    }

    String optional(String name, String otherwise) throws Refusal {
      JsonNode field = object.get(name);
      if (field == null) {
        return otherwise;
      }
      asked++;
      if (field.isNull() && otherwise == null) {
        return null;
      }
      if (!field.isTextual()) {
        throw new Refusal("invalid");
      }
      return field.textValue();
    }

    Instant instant(String name) throws Refusal {
      String text = get(name).textValue();
      if (text == null) {
        throw new Refusal("invalid");
      }
      try {
        return OffsetDateTime.parse(text).toInstant();
      } catch (DateTimeParseException error) {
        throw new Refusal("invalid");
      }
    }

    <E extends Enum<E>> E word(String name, Class<E> kind) throws Refusal {
      return word(get(name), kind);
    }

    <E extends Enum<E>> E wordOr(String name, Class<E> kind, E otherwise) throws Refusal {
      return object.has(name) ? word(get(name), kind) : otherwise;
    }

    private static <E extends Enum<E>> E word(JsonNode field, Class<E> kind) throws Refusal {
      String text = field.textValue();
      if (text == null || !text.equals(text.toLowerCase(Locale.ROOT))) {
        throw new Refusal("invalid");
      }
      try {
        return Enum.valueOf(kind, text.toUpperCase(Locale.ROOT).replace('-', '_'));
      } catch (IllegalArgumentException error) {
        throw new Refusal("invalid");
      }
    }

    void end() throws Refusal {
      if (asked != object.size()) {
        throw new Refusal("invalid");
      }
    }
  }
}
