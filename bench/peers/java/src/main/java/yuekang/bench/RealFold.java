package yuekang.bench;

import java.nio.charset.StandardCharsets;
import java.time.Instant;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Utils;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;
import yuekang.bench.model.Event;
import yuekang.bench.model.HealthCode.StatusChange;
import yuekang.bench.model.Person;
import yuekang.bench.model.Person.Notice;
import yuekang.bench.model.Person.Outcome;

/** The real fold: decode, judge, keep the person's row, tell codes, changes and dead letters. */
final class RealFold {
  private static final int PARTITIONS = 4;
  private static final String PEOPLE = "people";
  private static final String HEALTH_CODES = "health-codes";
  private static final String STATUS_CHANGES = "status-changes";
  private static final String DEAD_LETTERS = "dead-letters";

  private RealFold() {}

  /** Folds {@code input}; the topics that it tells begin with {@code prefix}. */
  static Topology topology(String input, String prefix) {
    Topology topology = new Topology();
    topology
        .addSource(
            "events", Serdes.String().deserializer(), Serdes.ByteArray().deserializer(), input)
        .addProcessor("fold", Fold::new, "events")
        .addStateStore(
            Stores.keyValueStoreBuilder(
                    Stores.persistentKeyValueStore(PEOPLE), Serdes.String(), new PersonSerde())
                .withCachingEnabled(),
            "fold");
    for (String told : new String[] {HEALTH_CODES, STATUS_CHANGES, DEAD_LETTERS}) {
      topology.addSink(
          told,
          prefix + "-" + told,
          Serdes.String().serializer(),
          Serdes.ByteArray().serializer(),
          "fold");
    }
    return topology;
  }

  private static final class Fold implements Processor<String, byte[], String, byte[]> {
    private final Decoder decoder = new Decoder();
    private ProcessorContext<String, byte[]> context;
    private KeyValueStore<String, Person> people;

    @Override
    public void init(ProcessorContext<String, byte[]> context) {
      this.context = context;
      this.people = context.getStateStore(PEOPLE);
    }

    @Override
    public void process(Record<String, byte[]> record) {
      Instant arrivedAt = Instant.ofEpochMilli(record.timestamp());
      try {
        Event event = decoder.decode(record.value(), record.key(), arrivedAt);
        Person row = people.get(record.key());
        if (row == null) {
          checkPartition(record.key());
          row = Person.unknown(event.person(), arrivedAt);
        }
        take(record, row, row.fold(event, arrivedAt));
      } catch (Refusal refusal) {
        refuse(record, refusal.code, true);
      }
    }

    /** A producer with another partitioner than Kafka's default would split a person in two. */
    private void checkPartition(String key) throws Refusal {
      int hash = Utils.toPositive(Utils.murmur2(key.getBytes(StandardCharsets.UTF_8)));
      if (hash % PARTITIONS != place().partition()) {
        throw new Refusal("wrong-partition");
      }
    }

    private void take(Record<String, byte[]> record, Person row, Outcome outcome) {
      Person next = outcome.person();
      if (next.facts() == row.facts()
          && outcome.changes().isEmpty()
          && outcome.notices().isEmpty()) {
        return; // a duplicate
      }
      people.put(record.key(), next);
      for (StatusChange change : outcome.changes()) {
        context.forward(record.withValue(Json.of(change)), STATUS_CHANGES);
      }
      if (next.code().version() != row.code().version()) {
        context.forward(record.withValue(Json.of(next.code())), HEALTH_CODES);
      }
      for (Notice notice : outcome.notices()) {
        refuse(record, notice.objection().word, notice.refused());
      }
    }

    private void refuse(Record<String, byte[]> record, String reason, boolean refused) {
      RecordMetadata place = place();
      Headers headers = new RecordHeaders();
      headers.add("yk_topic", bytes(place.topic()));
      headers.add("yk_partition", bytes(String.valueOf(place.partition())));
      headers.add("yk_offset", bytes(String.valueOf(place.offset())));
      headers.add("yk_reason", bytes(reason));
      headers.add("yk_refused", bytes(String.valueOf(refused)));
      // A tombstone has no bytes to keep.
      byte[] raw = record.value() == null ? new byte[0] : record.value();
      context.forward(record.withHeaders(headers).withValue(raw), DEAD_LETTERS);
    }

    private RecordMetadata place() {
      return context.recordMetadata().orElseThrow();
    }

    private static byte[] bytes(String text) {
      return text.getBytes(StandardCharsets.UTF_8);
    }
  }
}
