package yuekang.bench;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;
import java.time.Instant;
import java.util.Comparator;
import java.util.Map;

/**
 * What an agency says about a person: models/events.py, of the slice's four types.
 *
 * @param sequence the source's own number of the event; it orders that source's events
 * @param supersedes id of the earlier event of the same source that this one corrects, or null
 * @throws IllegalArgumentException if a field is missing that an event of its type has
 */
@JsonIgnoreProperties({"specversion", "datacontenttype"})
record Event(
    String id,
    String source,
    Type type,
    Instant time,
    String partitionkey,
    Long sequence,
    String supersedes,
    Data data) {

  /** Place among the events of the same source. */
  static final Comparator<Event> ORDER =
      Comparator.comparing(Event::sequence).thenComparing(Event::time).thenComparing(Event::id);

  Event {
    boolean named = id != null && source != null && partitionkey != null;
    if (!named || time == null || sequence == null || data == null || !data.isOf(type)) {
      throw new IllegalArgumentException("a field is missing");
    }
  }

  /** Identity of an event. */
  record Ref(String source, String id) {}

  enum Type {
    @JsonProperty("yuekang.identity.verified.v1")
    IDENTITY_VERIFIED,
    @JsonProperty("yuekang.identity.retracted.v1")
    IDENTITY_RETRACTED,
    @JsonProperty("yuekang.nat-result.reported.v1")
    RESULT_REPORTED,
    @JsonProperty("yuekang.nat-result.retracted.v1")
    RESULT_RETRACTED
  }

  enum Document { RESIDENT_IDENTITY_CARD, MAINLAND_TRAVEL_PERMIT }

  enum Result { POSITIVE, NEGATIVE, INCONCLUSIVE }

  enum Status { PRELIMINARY, FINAL }

  enum Retraction { ENTERED_IN_ERROR, WRONG_PERSON, DUPLICATE }

  /** The fields of all four types; an event has those of its own, and null for the others. */
  record Data(
      Instant verifiedAt,
      Document documentType,
      String city,
      Instant sampledAt,
      Instant reportedAt,
      Result result,
      String institution,
      Status status,
      Retraction reason) {

    Data {
      status = status == null && result != null ? Status.FINAL : status;
    }

    private boolean isOf(Type type) {
      return switch (type) {
        case IDENTITY_VERIFIED -> verifiedAt != null && documentType != null && city != null;
        case RESULT_REPORTED ->
            sampledAt != null && reportedAt != null && result != null && institution != null;
        case IDENTITY_RETRACTED, RESULT_RETRACTED -> reason != null;
      };
    }
  }

  /**
   * Says whether this corrects {@code target}: names it, same source, comes after it. In the slice
   * events of one source are of one kind.
   */
  boolean corrects(Event target) {
    return target.id.equals(supersedes)
        && target.source.equals(source)
        && ORDER.compare(target, this) < 0;
  }

  /** Returns what this corrects, or null. */
  Event target(Map<Ref, Event> known) {
    Event target = supersedes == null ? null : known.get(named());
    return target != null && corrects(target) ? target : null;
  }

  /** Returns the identity of what this says it corrects. */
  Ref named() {
    return new Ref(source, supersedes);
  }

  /** Says whether this takes an event back and says nothing of its own. */
  boolean retracts() {
    return type == Type.IDENTITY_RETRACTED || type == Type.RESULT_RETRACTED;
  }

  /** Says whether this is a result that opens no reason and corrects no event. */
  boolean opensNothing() {
    return type == Type.RESULT_REPORTED && supersedes == null && !is(Result.POSITIVE);
  }

  /** Says whether this says who somebody is, and corrects no event. */
  boolean isVerification() {
    return type == Type.IDENTITY_VERIFIED && supersedes == null;
  }

  /** Says whether this is a final result. */
  boolean isFinal() {
    return type == Type.RESULT_REPORTED && data.status == Status.FINAL;
  }

  /** Says whether this is a final result of a kind. */
  boolean is(Result result) {
    return data.result == result && data.status == Status.FINAL;
  }

  Instant sampledAt() {
    return data.sampledAt;
  }

  Instant reportedAt() {
    return data.reportedAt;
  }

  Ref ref() {
    return new Ref(source, id);
  }
}
