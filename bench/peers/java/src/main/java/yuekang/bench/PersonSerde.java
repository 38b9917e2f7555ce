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
import yuekang.bench.model.Event.EventRef;
import yuekang.bench.model.HealthCode;
import yuekang.bench.model.HealthCode.Condition;
import yuekang.bench.model.HealthCode.Interval;
import yuekang.bench.model.Person;
import yuekang.bench.model.Person.Fact;

/** A row of the store as compact binary: enums by ordinal, instants in microseconds. */
final class PersonSerde implements Serde<Person> {
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
      instant(out, person.dueAt());
      out.writeBoolean(person.plain());
      out.writeShort(person.facts().size());
      for (Fact fact : person.facts()) {
        out.writeUTF(fact.source());
        out.writeUTF(fact.id());
        text(out, fact.supersedes());
        instant(out, fact.arrivedAt());
        out.writeShort(fact.written().length);
        out.write(fact.written());
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
      Instant dueAt = instant(in);
      boolean plain = in.readBoolean();
      int count = in.readUnsignedShort();
      List<Fact> facts = new ArrayList<>(count);
      for (int i = 0; i < count; i++) {
        String source = in.readUTF();
        String id = in.readUTF();
        String supersedes = text(in);
        Instant arrivedAt = instant(in);
        byte[] written = new byte[in.readUnsignedShort()];
        in.readFully(written);
        facts.add(new Fact(source, id, supersedes, arrivedAt, written));
      }
      return new Person(code, judgedAt, dueAt, plain, facts);
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
}
