package yuekang.bench;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.state.KeyValueStore;

/** The counting fold: per person the last report, whether ever positive, and how many. */
final class Counting {
  private Counting() {}

  @JsonIgnoreProperties(ignoreUnknown = true)
  record Report(String reported_at, String result) {}

  record Counts(String last, boolean red, int count) {
    Counts and(Report report) {
      return new Counts(report.reported_at(), red || report.result().equals("positive"), count + 1);
    }
  }

  private static final Counts NONE = new Counts("", false, 0);

  static Topology topology(List<String> topics) {
    StreamsBuilder builder = new StreamsBuilder();
    builder.stream(topics, Consumed.with(Serdes.String(), reports()))
        .groupByKey()
        .aggregate(
            () -> NONE,
            (person, report, counts) -> counts.and(report),
            Materialized.<String, Counts, KeyValueStore<Bytes, byte[]>>as("counts")
                .withKeySerde(Serdes.String())
                .withValueSerde(counts())
                .withCachingEnabled());
    return builder.build();
  }

  private static Serde<Report> reports() {
    ObjectReader reader = new ObjectMapper().readerFor(Report.class);
    Deserializer<Report> read =
        (topic, bytes) -> {
          try {
            return reader.readValue(bytes);
          } catch (IOException error) {
            throw new UncheckedIOException(error);
          }
        };
    return Serdes.serdeFrom((topic, report) -> null, read);
  }

  private static Serde<Counts> counts() {
    Serializer<Counts> write =
        (topic, counts) -> {
          byte[] last = counts.last().getBytes(StandardCharsets.UTF_8);
          return ByteBuffer.allocate(5 + last.length)
              .put((byte) (counts.red() ? 1 : 0))
              .putInt(counts.count())
              .put(last)
              .array();
        };
    Deserializer<Counts> read =
        (topic, bytes) -> {
          ByteBuffer buffer = ByteBuffer.wrap(bytes);
          boolean red = buffer.get() == 1;
          int count = buffer.getInt();
          return new Counts(
              new String(bytes, 5, bytes.length - 5, StandardCharsets.UTF_8), red, count);
        };
    return Serdes.serdeFrom(write, read);
  }
}
