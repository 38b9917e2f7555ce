package yuekang.bench;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;

/**
 * Runs one of the folds until a signal ends it.
 *
 * <p>Arguments: "replay" (see {@link Replay}), or: fold (counting, real), input topics with commas
 * between, bootstrap, application id, state folder, guarantee, threads, commit interval in ms,
 * cache in bytes, policies as JSON (see {@link Policy}), and, if it is to begin warm, a topic that
 * is folded first, by another application of this process.
 */
public final class Main {
  private Main() {}

  public static void main(String[] args) throws Exception {
    if (args[0].equals("replay")) {
      Replay.run();
      return;
    }
    if (args.length > 10) {
      warm(args);
    }
    KafkaStreams streams = started(args, args[1], settings(args));
    CountDownLatch ended = new CountDownLatch(1);
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  streams.close();
                  ended.countDown();
                }));
    ended.await();
  }

  private static KafkaStreams started(String[] args, String input, Properties settings)
      throws IOException {
    List<String> inputs = List.of(input.split(","));
    Topology topology =
        switch (args[0]) {
          case "counting" -> Counting.topology(inputs);
          case "real" -> RealFold.topology(inputs, args[3], policies(args[9]));
          default -> throw new IllegalArgumentException("no fold " + args[0]);
        };
    KafkaStreams streams = new KafkaStreams(topology, settings);
    streams.setUncaughtExceptionHandler(
        error -> {
          error.printStackTrace();
          Runtime.getRuntime().halt(1);
          return null;
        });
    streams.start();
    return streams;
  }

  /** Folds a topic to its end with a store of its own, so that the compiler has done its work. */
  private static void warm(String[] args) throws Exception {
    Properties settings = settings(args);
    String application = args[3] + "-warm";
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, args[4] + "/warm");
    try (KafkaStreams streams = started(args, args[10], settings);
        Admin admin =
            Admin.create(Map.of(AdminClientConfig.BOOTSTRAP_SERVERS_CONFIG, args[2]))) {
      while (!isFolded(admin, application, args[10])) {
        Thread.sleep(100);
      }
    }
  }

  private static boolean isFolded(Admin admin, String group, String topic) throws Exception {
    Map<TopicPartition, OffsetAndMetadata> committed =
        admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
    Map<TopicPartition, OffsetSpec> latest =
        admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().stream()
            .map(partition -> new TopicPartition(topic, partition.partition()))
            .collect(Collectors.toMap(place -> place, place -> OffsetSpec.latest()));
    return admin.listOffsets(latest).all().get().entrySet().stream()
        .allMatch(
            end -> {
              OffsetAndMetadata offset = committed.get(end.getKey());
              long done = offset == null ? 0 : offset.offset();
              return done >= end.getValue().offset();
            });
  }

  private static Policy.Dated policies(String json) {
    return Format.POLICIES.read(json.getBytes(StandardCharsets.UTF_8));
  }

  private static Properties settings(String[] args) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[2]);
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, args[3]);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, args[4]);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, args[5]);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, args[6]);
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, args[7]);
    settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, args[8]);
    settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
    // Larger than the defaults, all for throughput.
    settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 5_000);
    settings.put(
        StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 4 << 20);
    settings.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 5_000);
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 100);
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 64 << 20);
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.ACKS_CONFIG), "all");
    return settings;
  }
}
