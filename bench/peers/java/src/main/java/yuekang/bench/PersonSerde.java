package yuekang.bench;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInput;
import java.io.DataInputStream;
import java.io.DataOutput;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serializer;
import yuekang.bench.model.Event;
import yuekang.bench.model.Event.EventRef;
import yuekang.bench.model.HealthCode;
import yuekang.bench.model.HealthCode.Condition;
import yuekang.bench.model.HealthCode.Interval;
import yuekang.bench.model.Person;
import yuekang.bench.model.Person.Fact;

/** A row of the store as compact binary: enums by ordinal, instants in microseconds. */
final class PersonSerde implements Serde<Person> {
  private static final Event.DocumentType[] DOCUMENT_TYPES = Event.DocumentType.values();
  private static final Event.Result[] RESULTS = Event.Result.values();
  private static final Event.ResultStatus[] STATUSES = Event.ResultStatus.values();
  private static final Event.QuarantineKind[] KINDS = Event.QuarantineKind.values();
  private static final Event.ProvincialColour[] COLOURS = Event.ProvincialColour.values();
  private static final Event.RetractionReason[] RETRACTIONS = Event.RetractionReason.values();
  private static final Event.Noun[] NOUNS = Event.Noun.values();
  private static final HealthCode.Colour[] CODE_COLOURS = HealthCode.Colour.values();
  private static final HealthCode.Reason[] REASONS = HealthCode.Reason.values();
  private static final HealthCode.ConditionKind[] CONDITIONS = HealthCode.ConditionKind.values();
  private static final HealthCode.Owner[] OWNERS = HealthCode.Owner.values();

  private static final long NO_INSTANT = Long.MIN_VALUE;

  @Override
  public Serializer<Person> serializer() {
    return (topic, person) -> person == null ? null : write(person);
  }

  @Override
  public Deserializer<Person> deserializer() {
    return (topic, bytes) -> bytes == null ? null : read(bytes);
  }

  static byte[] write(Person person) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream(256 + 160 * person.facts().size());
    try {
      DataOutputStream out = new DataOutputStream(bytes);
      write(out, person.code());
      instant(out, person.judgedAt());
      out.writeShort(person.facts().size());
      for (Fact fact : person.facts()) {
        instant(out, fact.arrivedAt());
        write(out, fact.event());
      }
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    return bytes.toByteArray();
  }

  static Person read(byte[] bytes) {
    try {
      DataInputStream in = new DataInputStream(new ByteArrayInputStream(bytes));
      HealthCode code = code(in);
      Instant judgedAt = instant(in);
      int count = in.readUnsignedShort();
      List<Fact> facts = new ArrayList<>(count);
      for (int i = 0; i < count; i++) {
        Instant arrivedAt = instant(in);
        facts.add(new Fact(event(in, code.person()), arrivedAt));
      }
      return new Person(code, judgedAt, facts);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  private static void instant(DataOutput out, Instant at) throws IOException {
    out.writeLong(
        at == null ? NO_INSTANT : at.getEpochSecond() * 1_000_000 + at.getNano() / 1_000);
  }

  private static Instant instant(DataInput in) throws IOException {
    long at = in.readLong();
    return at == NO_INSTANT
        ? null
        : Instant.ofEpochSecond(
            Math.floorDiv(at, 1_000_000L), Math.floorMod(at, 1_000_000L) * 1_000);
  }

  private static void text(DataOutput out, String text) throws IOException {
    out.writeBoolean(text != null);
    if (text != null) {
      out.writeUTF(text);
    }
  }

  private static String text(DataInput in) throws IOException {
    return in.readBoolean() ? in.readUTF() : null;
  }

  private static void ref(DataOutput out, EventRef ref) throws IOException {
    text(out, ref == null ? null : ref.source());
    if (ref != null) {
      out.writeUTF(ref.id());
    }
  }

  private static EventRef ref(DataInput in) throws IOException {
    String source = text(in);
    return source == null ? null : new EventRef(source, in.readUTF());
  }

  private static void write(DataOutput out, HealthCode code) throws IOException {
    out.writeUTF(code.person());
    out.writeInt(code.version());
    instant(out, code.judgedAt());
    out.writeByte(code.colour().ordinal());
    out.writeByte(code.reasons().size());
    for (HealthCode.Reason reason : code.reasons()) {
      out.writeByte(reason.ordinal());
    }
    out.writeInt(code.toldVersion());
    instant(out, code.verifiedSince());
    text(out, code.city());
    out.writeShort(code.intervals().size());
    for (Interval interval : code.intervals()) {
      out.writeByte(interval.reason().ordinal());
      instant(out, interval.start());
      ref(out, interval.openedBy());
      out.writeUTF(interval.policy());
      instant(out, interval.end());
      out.writeByte(interval.conditions().size());
      for (Condition condition : interval.conditions()) {
        out.writeByte(condition.kind().ordinal());
        out.writeByte(condition.owner().ordinal());
        instant(out, condition.notBefore());
        instant(out, condition.metAt());
        ref(out, condition.metBy());
      }
      text(out, interval.province());
    }
  }

  private static HealthCode code(DataInput in) throws IOException {
    String person = in.readUTF();
    int version = in.readInt();
    Instant judgedAt = instant(in);
    HealthCode.Colour colour = CODE_COLOURS[in.readByte()];
    int reasonCount = in.readByte();
    List<HealthCode.Reason> reasons = new ArrayList<>(reasonCount);
    for (int i = 0; i < reasonCount; i++) {
      reasons.add(REASONS[in.readByte()]);
    }
    int toldVersion = in.readInt();
    Instant verifiedSince = instant(in);
    String city = text(in);
    int intervalCount = in.readUnsignedShort();
    List<Interval> intervals = new ArrayList<>(intervalCount);
    for (int i = 0; i < intervalCount; i++) {
      HealthCode.Reason reason = REASONS[in.readByte()];
      Instant start = instant(in);
      EventRef openedBy = ref(in);
      String policy = in.readUTF();
      Instant end = instant(in);
      int conditionCount = in.readByte();
      List<Condition> conditions = new ArrayList<>(conditionCount);
      for (int j = 0; j < conditionCount; j++) {
        conditions.add(
            new Condition(
                CONDITIONS[in.readByte()],
                OWNERS[in.readByte()],
                instant(in),
                instant(in),
                ref(in)));
      }
      intervals.add(new Interval(reason, start, openedBy, policy, end, conditions, text(in)));
    }
    return new HealthCode(
        person, version, judgedAt, colour, reasons, toldVersion, verifiedSince, city, intervals);
  }

  private static void write(DataOutput out, Event event) throws IOException {
    out.writeUTF(event.id());
    out.writeUTF(event.source());
    instant(out, event.time());
    out.writeUTF(event.sequence());
    text(out, event.supersedes());
    Event.Data data = event.data();
    if (data instanceof Event.NatResult d) {
      out.writeByte(0);
      instant(out, d.sampledAt());
      instant(out, d.reportedAt());
      out.writeByte(d.result().ordinal());
      out.writeUTF(d.institution());
      out.writeByte(d.status().ordinal());
    } else if (data instanceof Event.IdentityVerified d) {
      out.writeByte(1);
      instant(out, d.verifiedAt());
      out.writeByte(d.documentType().ordinal());
      out.writeUTF(d.city());
    } else if (data instanceof Event.CaseReport d) {
      out.writeByte(
          d instanceof Event.CaseSuspected
              ? 2
              : d instanceof Event.CaseConfirmed ? 3 : d instanceof Event.CaseExcluded ? 4 : 5);
      out.writeUTF(d.file());
      instant(out, d.at());
    } else if (data instanceof Event.ContactListed d) {
      out.writeByte(6);
      out.writeUTF(d.file());
      instant(out, d.lastExposureAt());
      instant(out, d.listedAt());
    } else if (data instanceof Event.ContactWithdrawn d) {
      out.writeByte(7);
      out.writeUTF(d.file());
      instant(out, d.withdrawnAt());
    } else if (data instanceof Event.QuarantineStep d) {
      out.writeByte(d instanceof Event.QuarantineOrdered ? 8 : 9);
      out.writeUTF(d.file());
      out.writeByte(d.kind().ordinal());
      instant(out, d.at());
      instant(out, d.plannedEndAt());
    } else if (data instanceof Event.QuarantineReleased d) {
      out.writeByte(10);
      out.writeUTF(d.file());
      out.writeUTF(d.notice());
      instant(out, d.at());
    } else if (data instanceof Event.ProvincialCode d) {
      out.writeByte(11);
      out.writeUTF(d.province());
      out.writeByte(d.colour().ordinal());
      instant(out, d.reportedAt());
    } else if (data instanceof Event.Retraction d) {
      out.writeByte(12);
      out.writeByte(d.noun().ordinal());
      out.writeByte(d.reason().ordinal());
    } else {
      throw new IllegalStateException(data.type());
    }
  }

  private static Event event(DataInput in, String person) throws IOException {
    String id = in.readUTF();
    String source = in.readUTF();
    Instant time = instant(in);
    String sequence = in.readUTF();
    String supersedes = text(in);
    return new Event(id, source, time, person, sequence, supersedes, data(in));
  }

  private static Event.Data data(DataInput in) throws IOException {
    int kind = in.readByte();
    return switch (kind) {
      case 0 ->
          new Event.NatResult(
              instant(in), instant(in), RESULTS[in.readByte()], in.readUTF(), STATUSES[in.readByte()]);
      case 1 ->
          new Event.IdentityVerified(instant(in), DOCUMENT_TYPES[in.readByte()], in.readUTF());
      case 2 -> new Event.CaseSuspected(in.readUTF(), instant(in));
      case 3 -> new Event.CaseConfirmed(in.readUTF(), instant(in));
      case 4 -> new Event.CaseExcluded(in.readUTF(), instant(in));
      case 5 -> new Event.CaseDischarged(in.readUTF(), instant(in));
      case 6 -> new Event.ContactListed(in.readUTF(), instant(in), instant(in));
      case 7 -> new Event.ContactWithdrawn(in.readUTF(), instant(in));
      case 8 ->
          new Event.QuarantineOrdered(
              in.readUTF(), KINDS[in.readByte()], instant(in), instant(in));
      case 9 ->
          new Event.QuarantineTransferred(
              in.readUTF(), KINDS[in.readByte()], instant(in), instant(in));
      case 10 -> new Event.QuarantineReleased(in.readUTF(), in.readUTF(), instant(in));
      case 11 ->
          new Event.ProvincialCode(in.readUTF(), COLOURS[in.readByte()], instant(in));
      case 12 -> new Event.Retraction(NOUNS[in.readByte()], RETRACTIONS[in.readByte()]);
      default -> throw new IllegalStateException("kind " + kind);
    };
  }
}
