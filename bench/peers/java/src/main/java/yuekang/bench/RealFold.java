package yuekang.bench;

import com.fasterxml.jackson.core.exc.StreamReadException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.List;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;
import yuekang.bench.HealthCode.Changed;
import yuekang.bench.Person.Objection;

/**
 * The slice of the real fold: identities, results of nucleic acid tests, and corrections of both.
 *
 * <p>Decodes, judges, keeps the person's row, and tells codes, changes and dead letters.
 */
final class RealFold {
  private static final String PEOPLE = "people";
  private static final String HEALTH_CODES = "health-codes";
  private static final String STATUS_CHANGES = "status-changes";
  private static final String DEAD_LETTERS = "dead-letters";

  private RealFold() {}

  /** Folds {@code inputs}; the topics that it tells begin with {@code prefix}. */
  static Topology topology(List<String> inputs, String prefix, Policy.Dated policies) {
    Serde<String> text = Serdes.String();
    Serde<byte[]> bytes = Serdes.ByteArray();
    Serde<Person> row =
        Serdes.serdeFrom(
            (topic, person) -> Format.ROW.write(person),
            (topic, stored) -> stored == null ? null : Format.ROW.read(stored));
    Topology topology =
        new Topology()
            .addSource(
                "events",
                text.deserializer(),
                bytes.deserializer(),
                inputs.toArray(String[]::new))
            .addProcessor("fold", () -> new Fold(policies), "events")
            .addStateStore(
                Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(PEOPLE), text, row)
                    .withCachingEnabled(),
                "fold");
    for (String told : new String[] {HEALTH_CODES, STATUS_CHANGES, DEAD_LETTERS}) {
      topology.addSink(
          told, prefix + "-" + told, text.serializer(), bytes.serializer(), "fold");
    }
    return topology;
  }

  /** Returns why a value is refused that cannot be read as an event. */
  static String refusal(UncheckedIOException error) {
    Throwable cause = error.getCause();
    boolean json =
        !(cause instanceof StreamReadException || cause.getCause() instanceof StreamReadException);
    return json ? "invalid" : "not-json";
  }

  private static final class Fold implements Processor<String, byte[], String, byte[]> {
    private final Policy.Dated policies;
    private ProcessorContext<String, byte[]> context;
    private KeyValueStore<String, Person> people;

    Fold(Policy.Dated policies) {
      this.policies = policies;
    }

    @Override
    public void init(ProcessorContext<String, byte[]> context) {
      this.context = context;
      this.people = context.getStateStore(PEOPLE);
    }

    @Override
    public void process(Record<String, byte[]> record) {
      try {
        take(record, Format.EVENT.read(record.value()));
      } catch (UncheckedIOException error) {
        refuse(record, refusal(error), true);
      }
    }

    private void take(Record<String, byte[]> record, Event event) {
      Instant at = Instant.ofEpochMilli(record.timestamp());
      Person held = people.get(record.key());
      Person row = held == null ? Person.unknown(record.key(), at) : held;
      Person.Outcome told = row.fold(event, at, policies);
      boolean known = told.person().facts() == row.facts();
      if (known && told.changes().isEmpty() && told.objections().isEmpty()) {
        return; // a duplicate
      }
      people.put(record.key(), told.person());
      told.changes().stream()
          .map(change -> Format.CHANGED.write(new Changed(change)))
          .forEach(change -> context.forward(record.withValue(change), STATUS_CHANGES));
      HealthCode code = told.person().code();
      if (code.version() != row.code().version()) {
        context.forward(record.withValue(Format.CODE.write(code)), HEALTH_CODES);
      }
      told.objections().forEach(why -> refuse(record, why.word, why == Objection.CONFLICT));
    }

    private void refuse(Record<String, byte[]> record, String reason, boolean refused) {
      RecordMetadata place = context.recordMetadata().orElseThrow();
      Headers headers =
          new RecordHeaders()
              .add("yk_topic", bytes(place.topic()))
              .add("yk_partition", bytes(place.partition()))
              .add("yk_offset", bytes(place.offset()))
              .add("yk_reason", bytes(reason))
              .add("yk_refused", bytes(refused));
      context.forward(record.withHeaders(headers), DEAD_LETTERS);
    }

    private static byte[] bytes(Object value) {
      return value.toString().getBytes(StandardCharsets.UTF_8);
    }
  }
}
