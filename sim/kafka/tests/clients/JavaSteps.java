import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Steps of the official Java client against a cluster: producer, consumer, admin, groups, transactions.
 *
 * <p>Called by java.sh with the bootstrap servers. Each step uses topics and groups of its own.
 */
public final class JavaSteps {
  private interface Step {
    void run() throws Exception;
  }

  private static final Duration PATIENCE = Duration.ofSeconds(20);
  private static final Duration POLL = Duration.ofMillis(100);
  private static final String RUN = UUID.randomUUID().toString().substring(0, 8);

  private final String bootstrap;
  private final Map<String, Step> steps = new LinkedHashMap<>();

  private JavaSteps(String bootstrap) {
    this.bootstrap = bootstrap;
    steps.put("metadata_names_three_brokers", this::brokers);
    for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
      steps.put("codec_" + codec, () -> codec(codec));
    }
    steps.put("keys_headers_timestamps_and_nulls", this::fields);
    steps.put("acks_0_and_1", this::acks);
    steps.put("keys_go_where_murmur2_sends_them", this::partitioner);
    steps.put("a_record_that_is_too_large", this::tooLarge);
    steps.put("seek_pause_and_offsets_for_times", this::seek);
    steps.put("commits_are_found_by_the_next_member", this::commits);
    for (String strategy : List.of("Range", "RoundRobin", "Sticky", "CooperativeSticky")) {
      steps.put("two_members_" + strategy, () -> twoMembers(strategy));
    }
    steps.put("a_static_member_keeps_its_share", this::staticMember);
    steps.put("a_second_static_member_fences_the_first", this::staticFenced);
    steps.put("topics_are_created_described_grown_and_deleted", this::topics);
    steps.put("configs_are_described_and_altered", this::configs);
    steps.put("records_are_deleted_and_offsets_listed", this::deleteRecords);
    steps.put("groups_are_listed_described_and_deleted", this::groups);
    steps.put("a_transaction_is_committed_and_one_is_aborted", this::transactions);
    steps.put("an_open_transaction_holds_back_read_committed", this::openTransaction);
    steps.put("offsets_are_part_of_a_transaction", this::transactionalOffsets);
    steps.put("a_zombie_is_fenced", this::zombie);
    steps.put("transactions_and_producers_are_described", this::describeTransactions);
    steps.put("a_transaction_that_takes_too_long_is_aborted", this::slowTransaction);
  }

  public static void main(String[] arguments) {
    JavaSteps java = new JavaSteps(arguments[0]);
    Set<String> wanted = new HashSet<>(List.of(arguments).subList(1, arguments.length));
    int passed = 0;
    int failed = 0;
    for (Map.Entry<String, Step> step : java.steps.entrySet()) {
      if (!wanted.isEmpty() && !wanted.contains(step.getKey())) {
        continue;
      }
      try {
        step.getValue().run();
        passed++;
        System.out.println("ok - " + step.getKey());
      } catch (Exception | AssertionError error) {
        failed++;
        System.out.println("not ok - " + step.getKey() + ": " + reason(error));
      }
    }
    System.out.println(passed + " passed, " + failed + " failed");
    System.exit(failed == 0 ? 0 : 1);
  }

  private static String reason(Throwable error) {
    int line = 0;
    for (StackTraceElement element : error.getStackTrace()) {
      if (element.getClassName().startsWith("JavaSteps") && line == 0) {
        line = element.getLineNumber();
      }
    }
    Throwable cause = error;
    while (cause.getCause() != null) {
      cause = cause.getCause();
    }
    String message = (cause.getClass().getSimpleName() + ": " + cause.getMessage()).replace('\n', ' ');
    return message + " (line " + line + ")";
  }

  // What steps are made of

  private static String name(String what) {
    return what + "-java-" + RUN;
  }

  private static void check(boolean condition, Object what) {
    if (!condition) {
      throw new AssertionError(String.valueOf(what));
    }
  }

  private static <T> T get(Future<T> future) throws Exception {
    return future.get(PATIENCE.toMillis(), java.util.concurrent.TimeUnit.MILLISECONDS);
  }

  private Admin admin() {
    return Admin.create(
        Map.of("bootstrap.servers", bootstrap, "default.api.timeout.ms", "20000", "request.timeout.ms", "15000"));
  }

  private String create(String topic, int partitions) throws Exception {
    return create(topic, partitions, Map.of());
  }

  private String create(String topic, int partitions, Map<String, String> configs) throws Exception {
    try (Admin admin = admin()) {
      NewTopic wanted = new NewTopic(topic, Optional.of(partitions), Optional.empty()).configs(configs);
      get(admin.createTopics(List.of(wanted)).all());
    }
    return topic;
  }

  private KafkaProducer<String, String> producer(String... settings) {
    Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "delivery.timeout.ms", "20000"));
    config.put("request.timeout.ms", "15000");
    config.put("max.block.ms", "20000");
    put(config, settings);
    return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
  }

  private KafkaConsumer<String, String> consumer(String group, String... settings) {
    Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "group.id", name(group)));
    config.put("auto.offset.reset", "earliest");
    config.put("enable.auto.commit", "false");
    config.put("session.timeout.ms", "6000");
    config.put("heartbeat.interval.ms", "500");
    config.put("default.api.timeout.ms", "20000");
    config.put("request.timeout.ms", "15000");
    put(config, settings);
    return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
  }

  private static void put(Map<String, Object> config, String... settings) {
    for (int at = 0; at < settings.length; at += 2) {
      config.put(settings[at], settings[at + 1]);
    }
  }

  private static List<RecordMetadata> send(KafkaProducer<String, String> producer, String topic, String... values)
      throws Exception {
    List<Future<RecordMetadata>> sent = new ArrayList<>();
    for (String value : values) {
      sent.add(producer.send(new ProducerRecord<>(topic, value)));
    }
    producer.flush();
    List<RecordMetadata> delivered = new ArrayList<>();
    for (Future<RecordMetadata> one : sent) {
      delivered.add(get(one));
    }
    return delivered;
  }

  private static List<ConsumerRecord<String, String>> read(KafkaConsumer<String, String> consumer, int count) {
    List<ConsumerRecord<String, String>> records = new ArrayList<>();
    long end = System.nanoTime() + PATIENCE.toNanos();
    while (records.size() < count && System.nanoTime() < end) {
      consumer.poll(POLL).forEach(records::add);
    }
    check(records.size() == count, records.size() + " of " + count + " were read");
    return records;
  }

  private List<String> readFromStart(String topic, int count, String isolation) {
    return values(recordsFromStart(topic, count, isolation));
  }

  private List<ConsumerRecord<String, String>> recordsFromStart(String topic, int count, String isolation) {
    try (KafkaConsumer<String, String> consumer = consumer("reader", "isolation.level", isolation)) {
      List<TopicPartition> partitions = new ArrayList<>();
      consumer.partitionsFor(topic).forEach(info -> partitions.add(new TopicPartition(topic, info.partition())));
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      return read(consumer, count);
    }
  }

  private static List<String> values(List<ConsumerRecord<String, String>> records) {
    List<String> values = new ArrayList<>();
    records.forEach(record -> values.add(record.value()));
    return values;
  }

  @SafeVarargs
  private static void await(String what, BooleanSupplier condition, KafkaConsumer<String, String>... polled)
      throws InterruptedException {
    long end = System.nanoTime() + PATIENCE.toNanos();
    while (System.nanoTime() < end) {
      for (KafkaConsumer<String, String> consumer : polled) {
        consumer.poll(POLL);
      }
      if (condition.getAsBoolean()) {
        return;
      }
      Thread.sleep(20);
    }
    throw new AssertionError(what + ": it did not come to that");
  }

  private static String strategy(String name) {
    return "org.apache.kafka.clients.consumer." + name + "Assignor";
  }

  // Producer and consumer

  private void brokers() throws Exception {
    try (Admin admin = admin()) {
      check(get(admin.describeCluster().nodes()).size() == 3, "other than three brokers");
    }
  }

  private void codec(String codec) throws Exception {
    String topic = create(name("codec-" + codec), 1);
    String[] values = new String[500];
    for (int n = 0; n < values.length; n++) {
      values[n] = (codec + " " + n + " ").repeat(20);
    }
    try (KafkaProducer<String, String> producer = producer("compression.type", codec, "linger.ms", "5")) {
      List<RecordMetadata> sent = send(producer, topic, values);
      check(sent.get(499).offset() == 499, sent.get(499));
    }
    check(readFromStart(topic, 500, "read_uncommitted").equals(List.of(values)), "other values came back");
  }

  private void fields() throws Exception {
    String topic = create(name("fields"), 1);
    try (KafkaProducer<String, String> producer = producer()) {
      ProducerRecord<String, String> full = new ProducerRecord<>(topic, null, 1_700_000_000_123L, "k", "v");
      full.headers().add("a", "1".getBytes(StandardCharsets.UTF_8)).add("a", new byte[0]).add("none", null);
      get(producer.send(full));
      get(producer.send(new ProducerRecord<>(topic, "k", null)));
      get(producer.send(new ProducerRecord<>(topic, null, "")));
    }
    List<ConsumerRecord<String, String>> records = recordsFromStart(topic, 3, "read_uncommitted");
    check(records.get(0).timestamp() == 1_700_000_000_123L, records.get(0));
    check(records.get(0).headers().toArray().length == 3, records.get(0).headers());
    check(records.get(1).value() == null && records.get(1).key().equals("k"), records.get(1));
    check(records.get(2).key() == null && records.get(2).value().isEmpty(), records.get(2));
  }

  private void acks() throws Exception {
    for (String acks : List.of("0", "1")) {
      String topic = create(name("acks-" + acks), 1);
      try (KafkaProducer<String, String> producer = producer("acks", acks, "enable.idempotence", "false")) {
        send(producer, topic, "a", "b", "c");
      }
      readFromStart(topic, 3, "read_uncommitted");
    }
  }

  private void partitioner() throws Exception {
    String topic = create(name("partitioner"), 8);
    Map<String, Integer> vectors = Map.of("order-12345", 1, "AAPL", 1, "ACC-00000042", 3, "k3", 0, "foobar", 6, "21", 4);
    try (KafkaProducer<String, String> producer = producer()) {
      for (Map.Entry<String, Integer> vector : vectors.entrySet()) {
        RecordMetadata sent = get(producer.send(new ProducerRecord<>(topic, vector.getKey(), "v")));
        check(sent.partition() == vector.getValue(), vector.getKey() + " went to " + sent.partition());
      }
    }
  }

  private void tooLarge() throws Exception {
    String topic = create(name("large"), 1);
    try (KafkaProducer<String, String> producer = producer("max.request.size", "5000000")) {
      get(producer.send(new ProducerRecord<>(topic, "x".repeat(2_000_000))));
      throw new AssertionError("it was taken");
    } catch (ExecutionException error) {
      check(error.getCause() instanceof RecordTooLargeException, error.getCause());
    }
  }

  private void seek() throws Exception {
    String topic = create(name("seek"), 1);
    TopicPartition at = new TopicPartition(topic, 0);
    try (KafkaProducer<String, String> producer = producer();
        KafkaConsumer<String, String> consumer = consumer("seek")) {
      for (int n = 0; n < 10; n++) {
        get(producer.send(new ProducerRecord<>(topic, null, 1_000_000L + n * 1000, null, "" + n)));
      }
      consumer.assign(List.of(at));
      check(consumer.endOffsets(List.of(at)).get(at) == 10, "the end is elsewhere");
      read(consumer, 10);
      consumer.seek(at, 7);
      check(read(consumer, 3).get(0).offset() == 7, "another offset");
      OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(at, 1_004_500L)).get(at);
      check(found.offset() == 5, found);
      consumer.pause(List.of(at));
      send(producer, topic, "later");
      check(consumer.poll(Duration.ofSeconds(1)).isEmpty(), "it is not paused");
      consumer.resume(List.of(at));
      check(read(consumer, 1).get(0).value().equals("later"), "another record");
    }
  }

  private void commits() throws Exception {
    String topic = create(name("commits"), 1);
    TopicPartition at = new TopicPartition(topic, 0);
    try (KafkaProducer<String, String> producer = producer()) {
      send(producer, topic, "0", "1", "2", "3", "4", "5");
    }
    try (KafkaConsumer<String, String> first = consumer("commits")) {
      first.subscribe(List.of(topic));
      read(first, 6);
      first.commitSync(Map.of(at, new OffsetAndMetadata(4, "note")));
      OffsetAndMetadata committed = first.committed(Set.of(at)).get(at);
      check(committed.offset() == 4 && committed.metadata().equals("note"), committed);
    }
    try (KafkaConsumer<String, String> second = consumer("commits")) {
      second.subscribe(List.of(topic));
      check(read(second, 2).get(0).value().equals("4"), "another record");
    }
  }

  // Groups

  private void twoMembers(String assignor) throws Exception {
    String topic = create(name("two-" + assignor), 4);
    String[] settings = {"partition.assignment.strategy", strategy(assignor)};
    try (KafkaConsumer<String, String> first = consumer("two-" + assignor, settings)) {
      first.subscribe(List.of(topic));
      await("the first has all", () -> first.assignment().size() == 4, first);
      try (KafkaConsumer<String, String> second = consumer("two-" + assignor, settings)) {
        second.subscribe(List.of(topic));
        await("each has two", () -> first.assignment().size() == 2 && second.assignment().size() == 2, first, second);
        Set<TopicPartition> shares = new HashSet<>(first.assignment());
        shares.addAll(second.assignment());
        check(shares.size() == 4, shares);
      }
      await("the first has all again", () -> first.assignment().size() == 4, first);
    }
  }

  private void staticMember() throws Exception {
    String topic = create(name("static"), 2);
    List<Collection<TopicPartition>> revoked = new ArrayList<>();
    ConsumerRebalanceListener listener =
        new ConsumerRebalanceListener() {
          @Override
          public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            revoked.add(partitions);
          }

          @Override
          public void onPartitionsAssigned(Collection<TopicPartition> partitions) {}
        };
    try (KafkaConsumer<String, String> stays = consumer("static", "group.instance.id", "i0")) {
      stays.subscribe(List.of(topic), listener);
      Set<TopicPartition> share;
      try (KafkaConsumer<String, String> goes = consumer("static", "group.instance.id", "i1")) {
        goes.subscribe(List.of(topic));
        await("each has one", () -> stays.assignment().size() == 1 && goes.assignment().size() == 1, stays, goes);
        share = Set.copyOf(goes.assignment());
      }
      int before = revoked.size();
      try (KafkaConsumer<String, String> back = consumer("static", "group.instance.id", "i1")) {
        back.subscribe(List.of(topic));
        await("it is back", () -> back.assignment().size() == 1, stays, back);
        check(back.assignment().equals(share), back.assignment());
        check(revoked.size() == before, "the other one was asked to give up its share");
      }
    }
  }

  private void staticFenced() throws Exception {
    String topic = create(name("fenced"), 1);
    KafkaConsumer<String, String> first = consumer("fenced", "group.instance.id", "same");
    first.subscribe(List.of(topic));
    await("the first has it", () -> first.assignment().size() == 1, first);
    try (KafkaConsumer<String, String> second = consumer("fenced", "group.instance.id", "same")) {
      second.subscribe(List.of(topic));
      boolean[] fenced = {false};
      await(
          "the first is fenced",
          () -> {
            second.poll(POLL);
            try {
              first.poll(POLL);
            } catch (FencedInstanceIdException error) {
              fenced[0] = true;
            }
            return fenced[0];
          });
    } finally {
      first.close();
    }
  }

  // Admin

  private void topics() throws Exception {
    String topic = create(name("admin"), 2);
    try (Admin admin = admin()) {
      try {
        create(topic, 2);
        throw new AssertionError("it was created twice");
      } catch (ExecutionException error) {
        check(error.getCause() instanceof TopicExistsException, error.getCause());
      }
      get(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all());
      await("it has five partitions", () -> partitions(admin, topic) == 5);
      get(admin.deleteTopics(List.of(topic)).all());
      await("it is gone", () -> !exists(admin, topic));
    }
  }

  private static int partitions(Admin admin, String topic) {
    try {
      return get(admin.describeTopics(List.of(topic)).allTopicNames()).get(topic).partitions().size();
    } catch (Exception error) {
      throw new KafkaException(error);
    }
  }

  private static boolean exists(Admin admin, String topic) {
    try {
      return get(admin.listTopics().names()).contains(topic);
    } catch (Exception error) {
      throw new KafkaException(error);
    }
  }

  private void configs() throws Exception {
    String topic = create(name("configs"), 1, Map.of("retention.ms", "3600000"));
    ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
    try (Admin admin = admin()) {
      check(retention(admin, resource).equals("3600000"), retention(admin, resource));
      AlterConfigOp set = new AlterConfigOp(new ConfigEntry("retention.ms", "7200000"), AlterConfigOp.OpType.SET);
      get(admin.incrementalAlterConfigs(Map.of(resource, List.of(set))).all());
      await("it is altered", () -> retention(admin, resource).equals("7200000"));
    }
  }

  private static String retention(Admin admin, ConfigResource resource) {
    try {
      return get(admin.describeConfigs(List.of(resource)).all()).get(resource).get("retention.ms").value();
    } catch (Exception error) {
      throw new KafkaException(error);
    }
  }

  private void deleteRecords() throws Exception {
    String topic = create(name("delete-records"), 1);
    TopicPartition at = new TopicPartition(topic, 0);
    try (Admin admin = admin();
        KafkaProducer<String, String> producer = producer()) {
      send(producer, topic, "0", "1", "2", "3", "4", "5");
      get(admin.deleteRecords(Map.of(at, RecordsToDelete.beforeOffset(4))).all());
      check(get(admin.listOffsets(Map.of(at, OffsetSpec.earliest())).all()).get(at).offset() == 4, "another start");
      check(get(admin.listOffsets(Map.of(at, OffsetSpec.latest())).all()).get(at).offset() == 6, "another end");
      get(admin.listOffsets(Map.of(at, OffsetSpec.maxTimestamp())).all());
    }
    check(readFromStart(topic, 2, "read_uncommitted").equals(List.of("4", "5")), "other records");
  }

  private void groups() throws Exception {
    String topic = create(name("groups"), 1);
    String group = name("groups");
    try (Admin admin = admin()) {
      try (KafkaConsumer<String, String> member = consumer("groups", "client.id", "member-of-groups")) {
        member.subscribe(List.of(topic));
        await("it has its partition", () -> member.assignment().size() == 1, member);
        boolean[] listed = {false};
        get(admin.listGroups().all()).forEach(known -> listed[0] |= known.groupId().equals(group));
        check(listed[0], "it is not listed");
        var described = get(admin.describeConsumerGroups(List.of(group)).all()).get(group);
        check(described.members().iterator().next().clientId().equals("member-of-groups"), described);
        member.commitSync(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(0)));
        var offsets = get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
        check(offsets.size() == 1, offsets);
      }
      get(admin.deleteConsumerGroups(List.of(group)).all());
    }
  }

  // Transactions

  private KafkaProducer<String, String> transactional(String identity, String... settings) {
    String[] all = java.util.Arrays.copyOf(settings, settings.length + 2);
    all[settings.length] = "transactional.id";
    all[settings.length + 1] = name(identity);
    KafkaProducer<String, String> producer = producer(all);
    producer.initTransactions();
    return producer;
  }

  private void transactions() throws Exception {
    String topic = create(name("txn"), 1);
    try (KafkaProducer<String, String> producer = transactional("txn")) {
      producer.beginTransaction();
      send(producer, topic, "committed", "committed", "committed");
      producer.commitTransaction();
      producer.beginTransaction();
      send(producer, topic, "aborted", "aborted");
      producer.abortTransaction();
      producer.beginTransaction();
      send(producer, topic, "last");
      producer.commitTransaction();
    }
    List<String> committed = readFromStart(topic, 4, "read_committed");
    check(committed.equals(List.of("committed", "committed", "committed", "last")), committed);
    List<ConsumerRecord<String, String>> all = recordsFromStart(topic, 6, "read_uncommitted");
    check(all.get(3).offset() == 4 && all.get(5).offset() == 7, "markers take no offsets");
  }

  private void openTransaction() throws Exception {
    String topic = create(name("open"), 1);
    TopicPartition at = new TopicPartition(topic, 0);
    try (KafkaProducer<String, String> producer = transactional("open");
        KafkaProducer<String, String> plain = producer();
        KafkaConsumer<String, String> consumer = consumer("open", "isolation.level", "read_committed")) {
      producer.beginTransaction();
      send(producer, topic, "open");
      send(plain, topic, "plain");
      consumer.assign(List.of(at));
      check(consumer.poll(Duration.ofSeconds(2)).isEmpty(), "something was read");
      producer.commitTransaction();
      check(values(read(consumer, 2)).equals(List.of("open", "plain")), "another order");
    }
  }

  private void transactionalOffsets() throws Exception {
    String source = create(name("source"), 1);
    String target = create(name("target"), 1);
    TopicPartition at = new TopicPartition(source, 0);
    try (KafkaProducer<String, String> plain = producer()) {
      send(plain, source, "0", "1", "2");
    }
    try (KafkaProducer<String, String> producer = transactional("eos");
        KafkaConsumer<String, String> consumer = consumer("eos", "isolation.level", "read_committed")) {
      consumer.subscribe(List.of(source));
      for (boolean commits : new boolean[] {false, true}) {
        List<ConsumerRecord<String, String>> records = read(consumer, 3);
        producer.beginTransaction();
        send(producer, target, values(records).toArray(new String[0]));
        producer.sendOffsetsToTransaction(Map.of(at, new OffsetAndMetadata(3)), consumer.groupMetadata());
        if (commits) {
          producer.commitTransaction();
        } else {
          producer.abortTransaction();
          check(consumer.committed(Set.of(at)).get(at) == null, "the offset of an aborted transaction");
          consumer.seek(at, 0);
        }
      }
      check(consumer.committed(Set.of(at)).get(at).offset() == 3, "another offset");
    }
    check(readFromStart(target, 3, "read_committed").equals(List.of("0", "1", "2")), "other records");
  }

  private void zombie() throws Exception {
    String topic = create(name("zombie"), 1);
    KafkaProducer<String, String> zombie = transactional("zombie");
    zombie.beginTransaction();
    send(zombie, topic, "of the zombie");
    try (KafkaProducer<String, String> successor = transactional("zombie")) {
      try {
        zombie.commitTransaction();
        throw new AssertionError("the zombie has committed");
      } catch (ProducerFencedException | InvalidProducerEpochException error) {
        zombie.close(Duration.ZERO);
      }
      successor.beginTransaction();
      send(successor, topic, "of the successor");
      successor.commitTransaction();
    }
    check(readFromStart(topic, 1, "read_committed").equals(List.of("of the successor")), "another record");
  }

  private void describeTransactions() throws Exception {
    String topic = create(name("described"), 1);
    TopicPartition at = new TopicPartition(topic, 0);
    String identity = name("described");
    try (Admin admin = admin();
        KafkaProducer<String, String> producer = transactional("described")) {
      producer.beginTransaction();
      send(producer, topic, "v");
      boolean[] listed = {false};
      get(admin.listTransactions().all()).forEach(known -> listed[0] |= known.transactionalId().equals(identity));
      check(listed[0], "it is not listed");
      var described = get(admin.describeTransactions(List.of(identity)).all()).get(identity);
      check(described.topicPartitions().equals(Set.of(at)), described);
      var producers = get(admin.describeProducers(List.of(at)).all()).get(at);
      check(producers.activeProducers().get(0).currentTransactionStartOffset().getAsLong() == 0, producers);
      producer.commitTransaction();
    }
  }

  private void slowTransaction() throws Exception {
    String topic = create(name("slow"), 1);
    try (KafkaProducer<String, String> plain = producer()) {
      KafkaProducer<String, String> slow = transactional("slow", "transaction.timeout.ms", "1000");
      slow.beginTransaction();
      send(slow, topic, "too slow");
      send(plain, topic, "plain");
      check(readFromStart(topic, 1, "read_committed").equals(List.of("plain")), "another record");
      try {
        slow.commitTransaction();
        throw new AssertionError("it has committed");
      } catch (KafkaException error) {
        slow.close(Duration.ZERO);
      }
    }
  }
}
