"""Steps of librdkafka's Python client against a cluster: producer, consumer, admin, groups, transactions.

Called by confluent_kafka.sh with the bootstrap servers. Each step uses topics and groups of its own.
"""

import sys
import time
import traceback
import uuid

import confluent_kafka as ck
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

BOOTSTRAP = sys.argv[1]
PATIENCE = 20
RUN = uuid.uuid4().hex[:8]
STEPS = []


def step(function):
    STEPS.append(function)
    return function


def name(what):
    return f"{what}-{RUN}"


# One for all: a client that goes out of scope takes its requests with it.
ADMIN = AdminClient({"bootstrap.servers": BOOTSTRAP})


def admin():
    return ADMIN


def create(topic, partitions=1, config=None):
    new = NewTopic(topic, partitions, -1, config=config or {})
    admin().create_topics([new], operation_timeout=PATIENCE)[topic].result(PATIENCE)
    return topic


def setting(key):
    """Settings have dots, callbacks do not."""
    return key if key.endswith("_cb") else key.replace("_", ".")


def producer(**config):
    base = {"bootstrap.servers": BOOTSTRAP, "linger.ms": 5}
    return ck.Producer(base | {setting(key): value for key, value in config.items()})


def consumer(group, **config):
    base = {
        "bootstrap.servers": BOOTSTRAP,
        "group.id": name(group),
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": 6000,
        "heartbeat.interval.ms": 500,
    }
    return ck.Consumer(base | {setting(key): value for key, value in config.items()})


def produce(client, topic, values, **more):
    """Sends values and gives back the delivered messages, in their order."""
    delivered = []

    def on_delivery(error, message):
        delivered.append((error, message))

    for value in values:
        client.produce(topic, value=value, on_delivery=on_delivery, **more)
    client.flush(PATIENCE)
    errors = [error for error, _ in delivered if error]
    assert not errors, errors[0]
    assert len(delivered) == len(values), f"{len(delivered)} of {len(values)} were delivered"
    return [message for _, message in delivered]


def read(client, count, seconds=PATIENCE):
    """Polls until there are so many messages."""
    messages, end = [], time.monotonic() + seconds
    while len(messages) < count and time.monotonic() < end:
        message = client.poll(0.2)
        if message is None:
            continue
        assert not message.error(), message.error()
        messages.append(message)
    assert len(messages) == count, f"{len(messages)} of {count} were read"
    return messages


def read_from_start(topic, count, group="reader", **config):
    client = consumer(f"{group}-{uuid.uuid4().hex[:6]}", **config)
    partitions = client.list_topics(topic, timeout=PATIENCE).topics[topic].partitions
    client.assign([ck.TopicPartition(topic, partition, 0) for partition in partitions])
    try:
        return read(client, count)
    finally:
        client.close()


def nothing_more(client, seconds=1.0):
    message = client.poll(seconds)
    assert message is None, f"{message.value()} came too"


def wait(what, condition, *polled):
    """Polls these consumers until the condition holds."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for client in polled:
            client.poll(0.1)
        if condition():
            return
        if not polled:
            time.sleep(0.1)
    raise AssertionError(f"{what}: it did not come to that")


# Producer and consumer


@step
def metadata_names_three_brokers():
    brokers = admin().list_topics(timeout=PATIENCE).brokers
    assert len(brokers) == 3, brokers


def codec(compression):
    def there_and_back():
        topic = create(name(f"codec-{compression}"))
        values = [f"{compression} {n} ".encode() * 20 for n in range(500)]
        sent = produce(producer(compression_type=compression), topic, values)
        assert [message.offset() for message in sent] == list(range(500))
        assert [message.value() for message in read_from_start(topic, 500)] == values

    there_and_back.__name__ = f"codec_{compression}"
    return step(there_and_back)


for compression in ["none", "gzip", "snappy", "lz4", "zstd"]:
    codec(compression)


@step
def keys_headers_timestamps_and_nulls():
    topic = create(name("fields"))
    client = producer()
    headers = [("a", b"1"), ("a", b"2"), ("empty", b"")]
    produce(client, topic, [b"v"], key=b"k", headers=headers, timestamp=1_700_000_000_123)
    produce(client, topic, [None], key=b"k")
    produce(client, topic, [b""])
    full, tombstone, empty = read_from_start(topic, 3)
    assert (full.key(), full.value(), full.headers()) == (b"k", b"v", headers)
    assert full.timestamp() == (ck.TIMESTAMP_CREATE_TIME, 1_700_000_000_123)
    assert tombstone.value() is None and tombstone.key() == b"k"
    assert empty.key() is None and empty.value() == b""


@step
def acks_0_and_1():
    for acks in [0, 1]:
        topic = create(name(f"acks-{acks}"))
        produce(producer(acks=acks), topic, [b"v"] * 10)
        read_from_start(topic, 10)


@step
def an_idempotent_producer():
    topic = create(name("idempotent"), 3)
    client = producer(enable_idempotence=True)
    values = [str(n).encode() for n in range(2000)]
    produce(client, topic, values)
    assert sorted(message.value() for message in read_from_start(topic, 2000)) == sorted(values)


@step
def keys_go_where_crc32_sends_them():
    topic = create(name("partitioner"), 8)
    client = producer(partitioner="consistent_random")
    for key, partition in [("order-12345", 3), ("AAPL", 4), ("k0", 7), ("k3", 5), ("foobar", 5)]:
        assert produce(client, topic, [b"v"], key=key)[0].partition() == partition, key
    client = producer(partitioner="murmur2_random")
    for key, partition in [("order-12345", 1), ("ACC-00000042", 3), ("foobar", 6), ("21", 4)]:
        assert produce(client, topic, [b"v"], key=key)[0].partition() == partition, key


@step
def a_message_that_is_too_large():
    topic = create(name("large"))
    client = producer(message_max_bytes=5_000_000)
    errors = []
    client.produce(topic, value=b"x" * 2_000_000, on_delivery=lambda error, _: errors.append(error))
    client.flush(PATIENCE)
    assert errors and errors[0] and errors[0].code() == ck.KafkaError.MSG_SIZE_TOO_LARGE, errors


@step
def a_topic_that_does_not_exist():
    client = consumer("nowhere", allow_auto_create_topics=False)
    client.subscribe([name("nowhere")])
    end, seen = time.monotonic() + PATIENCE, None
    while seen is None and time.monotonic() < end:
        message = client.poll(0.2)
        seen = message.error() if message else None
    client.close()
    assert seen and seen.code() == ck.KafkaError.UNKNOWN_TOPIC_OR_PART, seen


@step
def watermarks_seek_pause_and_offsets_for_times():
    topic = create(name("seek"))
    client = producer()
    for n in range(10):
        produce(client, topic, [str(n).encode()], timestamp=1_000_000 + n * 1000)
    reader = consumer("seek")
    at = ck.TopicPartition(topic, 0, 0)
    reader.assign([at])
    assert reader.get_watermark_offsets(at, timeout=PATIENCE) == (0, 10)
    read(reader, 10)
    reader.seek(ck.TopicPartition(topic, 0, 7))
    assert [message.offset() for message in read(reader, 3)] == [7, 8, 9]
    found = reader.offsets_for_times([ck.TopicPartition(topic, 0, 1_004_500)], timeout=PATIENCE)
    assert found[0].offset == 5, found
    reader.pause([at])
    produce(client, topic, [b"later"])
    nothing_more(reader)
    reader.resume([at])
    assert read(reader, 1)[0].value() == b"later"
    reader.close()


@step
def an_offset_out_of_range_is_reset():
    topic = create(name("range"))
    produce(producer(), topic, [b"0", b"1"])
    reader = consumer("range")
    reader.assign([ck.TopicPartition(topic, 0, 1000)])
    assert [message.value() for message in read(reader, 2)] == [b"0", b"1"]
    reader.close()


@step
def commits_are_found_by_the_next_member():
    topic = create(name("commits"))
    produce(producer(), topic, [str(n).encode() for n in range(10)])
    first = consumer("commits")
    first.subscribe([topic])
    read(first, 4)
    first.commit(offsets=[ck.TopicPartition(topic, 0, 4, metadata="note")], asynchronous=False)
    committed = first.committed([ck.TopicPartition(topic, 0)], timeout=PATIENCE)[0]
    assert (committed.offset, committed.metadata) == (4, "note"), committed
    first.close()
    second = consumer("commits")
    second.subscribe([topic])
    assert [message.value() for message in read(second, 6)][0] == b"4"
    second.close()


# Groups


def two_members(strategy):
    def rebalance():
        topic = create(name(f"two-{strategy}"), 4)
        group = f"two-{strategy}"
        config = {"partition_assignment_strategy": strategy}
        first, second = consumer(group, **config), consumer(group, **config)
        first.subscribe([topic])
        wait("the first has all", lambda: len(first.assignment()) == 4, first)
        second.subscribe([topic])
        both = lambda: (len(first.assignment()), len(second.assignment())) == (2, 2)
        wait("each has two", both, first, second)
        shares = {(at.topic, at.partition) for client in (first, second) for at in client.assignment()}
        assert len(shares) == 4, shares
        produce(producer(), topic, [str(n).encode() for n in range(100)])
        got, end = 0, time.monotonic() + PATIENCE
        while got < 100 and time.monotonic() < end:
            for client in (first, second):
                message = client.poll(0.05)
                got += 1 if message and not message.error() else 0
        assert got == 100, got
        second.close()
        wait("the first has all again", lambda: len(first.assignment()) == 4, first)
        first.close()

    rebalance.__name__ = f"two_members_{strategy.replace('-', '_')}"
    return step(rebalance)


for strategy in ["range", "roundrobin", "cooperative-sticky"]:
    two_members(strategy)


@step
def a_static_member_keeps_its_share():
    topic = create(name("static"), 2)
    revoked = []
    members = [consumer("static", group_instance_id=f"i{n}") for n in range(2)]
    members[0].subscribe([topic], on_revoke=lambda _, partitions: revoked.append(partitions))
    members[1].subscribe([topic])
    wait("each has one", lambda: all(len(member.assignment()) == 1 for member in members), *members)
    share, before = members[1].assignment(), len(revoked)
    members[1].close()  # A static member does not leave.
    back = consumer("static", group_instance_id="i1")
    back.subscribe([topic])
    wait("it is back", lambda: len(back.assignment()) == 1, members[0], back)
    assert back.assignment()[0].partition == share[0].partition
    assert len(revoked) == before, "the other one was asked to give up its share"
    back.close()
    members[0].close()


@step
def a_second_static_member_fences_the_first():
    topic = create(name("fenced"))
    errors = []
    first = consumer("fenced", group_instance_id="same", error_cb=errors.append)
    first.subscribe([topic])
    wait("the first has it", lambda: len(first.assignment()) == 1, first)
    second = consumer("fenced", group_instance_id="same")
    second.subscribe([topic])

    def is_fenced():
        second.poll(0.1)
        message = first.poll(0.1)
        if message and message.error():
            errors.append(message.error())
        fatal = ck.KafkaError._FATAL, ck.KafkaError.FENCED_INSTANCE_ID
        return any(error.code() in fatal for error in errors)

    wait("the first is fenced", is_fenced)
    second.close()
    first.close()


# Admin


@step
def topics_are_created_grown_and_deleted():
    client = admin()
    topic = create(name("admin"), 2)
    try:
        create(topic)
        raise AssertionError("it was created twice")
    except ck.KafkaException as error:
        assert error.args[0].code() == ck.KafkaError.TOPIC_ALREADY_EXISTS, error
    client.create_partitions([NewPartitions(topic, 5)])[topic].result(PATIENCE)
    partitions = lambda: client.list_topics(topic, timeout=PATIENCE).topics[topic].partitions
    wait("it has five partitions", lambda: len(partitions()) == 5)
    client.delete_topics([topic], operation_timeout=PATIENCE)[topic].result(PATIENCE)
    wait("it is gone", lambda: topic not in client.list_topics(timeout=PATIENCE).topics)


@step
def configs_are_described_and_altered():
    client = admin()
    topic = create(name("configs"), config={"retention.ms": "3600000"})
    resource = ConfigResource(ResourceType.TOPIC, topic)
    described = lambda: client.describe_configs([resource])[resource].result(PATIENCE)
    assert described()["retention.ms"].value == "3600000"
    entry = ConfigEntry("retention.ms", "7200000", incremental_operation=AlterConfigOpType.SET)
    change = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    client.incremental_alter_configs([change])[change].result(PATIENCE)
    wait("it is altered", lambda: described()["retention.ms"].value == "7200000")


@step
def records_are_deleted():
    client = admin()
    topic = create(name("delete-records"))
    produce(producer(), topic, [b"v"] * 10)
    at = ck.TopicPartition(topic, 0, 6)
    deleted = client.delete_records([at])[at].result(PATIENCE)
    assert deleted.low_watermark == 6, deleted
    assert [message.offset() for message in read_from_start(topic, 4)] == [6, 7, 8, 9]


@step
def offsets_are_listed():
    topic = create(name("list-offsets"))
    produce(producer(), topic, [b"v"] * 3)
    at = ck.TopicPartition(topic, 0)
    for spec, offset in [(OffsetSpec.earliest(), 0), (OffsetSpec.latest(), 3), (OffsetSpec.max_timestamp(), None)]:
        listed = admin().list_offsets({at: spec})[at].result(PATIENCE)
        assert offset is None or listed.offset == offset, listed


@step
def groups_are_listed_described_and_deleted():
    client = admin()
    topic = create(name("groups"))
    member = consumer("groups", client_id="member-of-groups")
    member.subscribe([topic])
    wait("it has its partition", lambda: len(member.assignment()) == 1, member)
    group = name("groups")
    listed = client.list_consumer_groups(request_timeout=PATIENCE).result(PATIENCE)
    assert group in [known.group_id for known in listed.valid], listed.valid
    described = client.describe_consumer_groups([group])[group].result(PATIENCE)
    assert described.members[0].client_id == "member-of-groups"
    member.commit(offsets=[ck.TopicPartition(topic, 0, 0)], asynchronous=False)
    member.close()
    client.delete_consumer_groups([group])[group].result(PATIENCE)


# Transactions


def transactional(identity, **config):
    client = producer(transactional_id=name(identity), **config)
    client.init_transactions(PATIENCE)
    return client


@step
def a_transaction_is_committed_and_one_is_aborted():
    topic = create(name("txn"))
    client = transactional("txn")
    client.begin_transaction()
    produce(client, topic, [b"committed"] * 3)
    client.commit_transaction(PATIENCE)
    client.begin_transaction()
    produce(client, topic, [b"aborted"] * 2)
    client.abort_transaction(PATIENCE)
    client.begin_transaction()
    produce(client, topic, [b"last"])
    client.commit_transaction(PATIENCE)
    values = [message.value() for message in read_from_start(topic, 4, isolation_level="read_committed")]
    assert values == [b"committed"] * 3 + [b"last"], values
    raw = read_from_start(topic, 6, isolation_level="read_uncommitted")
    assert [message.offset() for message in raw] == [0, 1, 2, 4, 5, 7], "markers take offsets"


@step
def an_open_transaction_holds_back_read_committed():
    topic = create(name("open"))
    client = transactional("open")
    client.begin_transaction()
    produce(client, topic, [b"open"])
    produce(producer(), topic, [b"plain"])
    reader = consumer("open", isolation_level="read_committed")
    reader.assign([ck.TopicPartition(topic, 0, 0)])
    nothing_more(reader, 2.0)
    client.commit_transaction(PATIENCE)
    assert [message.value() for message in read(reader, 2)] == [b"open", b"plain"]
    reader.close()


@step
def offsets_are_part_of_a_transaction():
    source, target = create(name("source")), create(name("target"))
    produce(producer(), source, [str(n).encode() for n in range(6)])
    reader = consumer("eos", isolation_level="read_committed")
    reader.subscribe([source])
    client = transactional("eos")
    for commits in [False, True]:
        messages = read(reader, 3)
        client.begin_transaction()
        produce(client, target, [message.value() for message in messages])
        offsets = [ck.TopicPartition(source, 0, messages[-1].offset() + 1)]
        client.send_offsets_to_transaction(offsets, reader.consumer_group_metadata(), PATIENCE)
        if commits:
            client.commit_transaction(PATIENCE)
        else:
            client.abort_transaction(PATIENCE)
            reader.seek(ck.TopicPartition(source, 0, 0))
    committed = reader.committed([ck.TopicPartition(source, 0)], timeout=PATIENCE)[0]
    assert committed.offset == 3, committed
    assert [message.value() for message in read_from_start(target, 3)] == [b"0", b"1", b"2"]
    reader.close()


@step
def a_zombie_is_fenced():
    topic = create(name("zombie"))
    zombie = transactional("zombie")
    zombie.begin_transaction()
    produce(zombie, topic, [b"of the zombie"])
    successor = transactional("zombie")
    try:
        zombie.commit_transaction(PATIENCE)
        raise AssertionError("the zombie has committed")
    except ck.KafkaException as error:
        assert error.args[0].fatal() and error.args[0].code() == ck.KafkaError._FENCED, error
    successor.begin_transaction()
    produce(successor, topic, [b"of the successor"])
    successor.commit_transaction(PATIENCE)
    assert read_from_start(topic, 1)[0].value() == b"of the successor"


@step
def an_offset_commit_of_a_stranger_is_refused_in_a_transaction():
    topic = create(name("stranger"))
    reader = consumer("stranger")
    reader.subscribe([topic])
    wait("it has its partition", lambda: len(reader.assignment()) == 1, reader)
    metadata = reader.consumer_group_metadata()
    reader.close()
    other = consumer("stranger")
    other.subscribe([topic])
    wait("the other has it", lambda: len(other.assignment()) == 1, other)
    client = transactional("stranger")
    client.begin_transaction()
    produce(client, topic, [b"v"])
    try:
        client.send_offsets_to_transaction([ck.TopicPartition(topic, 0, 1)], metadata, PATIENCE)
        raise AssertionError("a member of an old generation has committed")
    except ck.KafkaException as error:
        assert error.args[0].txn_requires_abort(), error
    client.abort_transaction(PATIENCE)
    other.close()


@step
def a_transaction_that_takes_too_long_is_aborted():
    topic = create(name("slow"))
    client = transactional("slow", transaction_timeout_ms=1000)
    client.begin_transaction()
    produce(client, topic, [b"too slow"])
    plain = produce(producer(), topic, [b"plain"])
    assert plain[0].offset() == 1
    messages = read_from_start(topic, 1, isolation_level="read_committed")
    assert messages[0].value() == b"plain"
    try:
        client.commit_transaction(PATIENCE)
        raise AssertionError("it has committed")
    except ck.KafkaException as error:
        assert error.args[0].fatal(), error


def main():
    print(f"# confluent-kafka {ck.version()}, librdkafka {ck.libversion()[0]}, {BOOTSTRAP}", flush=True)
    wanted = sys.argv[2:]
    passed = failed = 0
    for function in STEPS:
        if wanted and function.__name__ not in wanted:
            continue
        try:
            function()
        except Exception as error:  # A step's failure is its report.
            failed += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            why = str(error) or type(error).__name__
            print(f"not ok - {function.__name__}: {why} ({where.name}, line {where.lineno})", flush=True)
        else:
            passed += 1
            print(f"ok - {function.__name__}", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
