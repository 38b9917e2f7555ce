package yuekang.bench.model;

import java.time.Instant;
import java.util.Comparator;

/**
 * What an agency says about a person: models/events.py. Its type follows from its data.
 *
 * @param supersedes id of the earlier event of the same source that this one corrects, or null
 */
public record Event(
    String id,
    String source,
    Instant time,
    String person,
    String sequence,
    String supersedes,
    Data data) {

  /** Place among the events of the same source. */
  public static final Comparator<Event> ORDER =
      Comparator.comparingLong((Event event) -> Long.parseLong(event.sequence))
          .thenComparing(Event::time)
          .thenComparing(Event::id);

  /** By (source, id), as a row keeps them. */
  public static final Comparator<Event> IDENTITY =
      Comparator.comparing(Event::source).thenComparing(Event::id);

  public EventRef ref() {
    return new EventRef(source, id);
  }

  public String type() {
    return data.type();
  }

  /** Says whether this takes back {@code target}: names it, same source, comes after it. */
  public boolean corrects(Event target) {
    return target.id.equals(supersedes)
        && source.equals(target.source)
        && ORDER.compare(target, this) < 0;
  }

  public record EventRef(String source, String id) implements Comparable<EventRef> {
    @Override
    public int compareTo(EventRef other) {
      int bySource = source.compareTo(other.source);
      return bySource != 0 ? bySource : id.compareTo(other.id);
    }
  }

  public enum DocumentType {
    RESIDENT_IDENTITY_CARD,
    MAINLAND_TRAVEL_PERMIT
  }

  public enum Result {
    POSITIVE,
    NEGATIVE,
    INCONCLUSIVE
  }

  public enum ResultStatus {
    PRELIMINARY,
    FINAL
  }

  public enum QuarantineKind {
    CENTRALISED,
    HOME
  }

  public enum ProvincialColour {
    RED,
    YELLOW,
    GREEN
  }

  public enum RetractionReason {
    ENTERED_IN_ERROR,
    WRONG_PERSON,
    DUPLICATE
  }

  /** What kind of event a retraction takes back. */
  public enum Noun {
    IDENTITY("identity"),
    NAT_RESULT("nat-result"),
    CASE("case"),
    CONTACT("contact"),
    QUARANTINE("quarantine"),
    PROVINCIAL_CODE("provincial-code");

    public final String word;

    Noun(String word) {
      this.word = word;
    }
  }

  public sealed interface Data {
    String type();
  }

  public record IdentityVerified(Instant verifiedAt, DocumentType documentType, String city)
      implements Data {
    public String type() {
      return "yuekang.identity.verified.v1";
    }
  }

  public record NatResult(
      Instant sampledAt,
      Instant reportedAt,
      Result result,
      String institution,
      ResultStatus status)
      implements Data {
    public String type() {
      return "yuekang.nat-result.reported.v1";
    }
  }

  /** A report about one case; {@code file} is its number. */
  public sealed interface CaseReport extends Data {
    String file();

    Instant at();
  }

  public record CaseSuspected(String file, Instant at) implements CaseReport {
    public String type() {
      return "yuekang.case.suspected.v1";
    }
  }

  public record CaseConfirmed(String file, Instant at) implements CaseReport {
    public String type() {
      return "yuekang.case.confirmed.v1";
    }
  }

  public record CaseExcluded(String file, Instant at) implements CaseReport {
    public String type() {
      return "yuekang.case.excluded.v1";
    }
  }

  public record CaseDischarged(String file, Instant at) implements CaseReport {
    public String type() {
      return "yuekang.case.discharged.v1";
    }
  }

  /** A report about one listing as a contact; {@code file} is its number. */
  public sealed interface ContactReport extends Data {
    String file();
  }

  public record ContactListed(String file, Instant lastExposureAt, Instant listedAt)
      implements ContactReport {
    public String type() {
      return "yuekang.contact.listed.v1";
    }
  }

  public record ContactWithdrawn(String file, Instant withdrawnAt) implements ContactReport {
    public String type() {
      return "yuekang.contact.withdrawn.v1";
    }
  }

  /** A report about one order of quarantine; {@code file} is its number. */
  public sealed interface QuarantineReport extends Data {
    String file();

    Instant at();
  }

  /** A report that opens a kind of quarantine. */
  public sealed interface QuarantineStep extends QuarantineReport {
    QuarantineKind kind();

    Instant plannedEndAt();
  }

  public record QuarantineOrdered(
      String file, QuarantineKind kind, Instant at, Instant plannedEndAt)
      implements QuarantineStep {
    public String type() {
      return "yuekang.quarantine.ordered.v1";
    }
  }

  public record QuarantineTransferred(
      String file, QuarantineKind kind, Instant at, Instant plannedEndAt)
      implements QuarantineStep {
    public String type() {
      return "yuekang.quarantine.transferred.v1";
    }
  }

  public record QuarantineReleased(String file, String notice, Instant at)
      implements QuarantineReport {
    public String type() {
      return "yuekang.quarantine.released.v1";
    }
  }

  public record ProvincialCode(String province, ProvincialColour colour, Instant reportedAt)
      implements Data {
    public String type() {
      return "yuekang.provincial-code.reported.v1";
    }
  }

  public record Retraction(Noun noun, RetractionReason reason) implements Data {
    public String type() {
      return "yuekang." + noun.word + ".retracted.v1";
    }
  }
}
