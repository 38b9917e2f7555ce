package yuekang.bench.model;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInput;
import java.io.DataInputStream;
import java.io.DataOutput;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Instant;

/** An event as its row keeps it, less what the fact has beside it: read when a rule asks. */
final class EventBytes {
  private static final Event.DocumentType[] DOCUMENT_TYPES = Event.DocumentType.values();
  private static final Event.Result[] RESULTS = Event.Result.values();
  private static final Event.ResultStatus[] STATUSES = Event.ResultStatus.values();
  private static final Event.QuarantineKind[] KINDS = Event.QuarantineKind.values();
  private static final Event.ProvincialColour[] COLOURS = Event.ProvincialColour.values();
  private static final Event.RetractionReason[] RETRACTIONS = Event.RetractionReason.values();
  private static final Event.Noun[] NOUNS = Event.Noun.values();

  private EventBytes() {}

  static byte[] write(Event event) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream(96);
    try {
      write(new DataOutputStream(bytes), event);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    return bytes.toByteArray();
  }

  static Event read(Person.Fact fact, String person) {
    try {
      DataInputStream in = new DataInputStream(new ByteArrayInputStream(fact.written()));
      Instant time = instant(in);
      String sequence = in.readUTF();
      return new Event(
          fact.id(), fact.source(), time, person, sequence, fact.supersedes(), data(in));
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  private static void instant(DataOutput out, Instant at) throws IOException {
    out.writeLong(at.getEpochSecond() * 1_000_000 + at.getNano() / 1_000);
  }

  private static Instant instant(DataInput in) throws IOException {
    long at = in.readLong();
    return Instant.ofEpochSecond(
        Math.floorDiv(at, 1_000_000L), Math.floorMod(at, 1_000_000L) * 1_000);
  }

  private static void write(DataOutput out, Event event) throws IOException {
    instant(out, event.time());
    out.writeUTF(event.sequence());
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
