//! The table of what requests look like, for [`super::shape`]: fields in their order, with the versions that have
//! them, from Kafka's message definitions. Names are in the definitions; only types matter here.

use kafka_protocol::messages::ApiKey;

use super::shape::Kind::{Data, Fixed, List, Option, Row, Rows, Text};
use super::shape::{Field, Kind, Shape};

const BOOL: Field = all(Fixed(1));
const INT8: Field = all(Fixed(1));
const INT16: Field = all(Fixed(2));
const INT32: Field = all(Fixed(4));
const INT64: Field = all(Fixed(8));
const TEXT: Field = all(Text);
const TEXTS: Field = all(List(&Text));
const INT32S: Field = all(List(&Fixed(4)));
const UUID: Kind = Fixed(16);

const fn all(kind: Kind) -> Field {
    Field { kind, from: 0, to: i16::MAX }
}

const fn from(version: i16, kind: Kind) -> Field {
    Field { kind, from: version, to: i16::MAX }
}

const fn until(version: i16, kind: Kind) -> Field {
    Field { kind, from: 0, to: version }
}

const fn between(from: i16, to: i16, kind: Kind) -> Field {
    Field { kind, from, to }
}

const fn row(fields: &'static [Field]) -> Shape {
    Shape { fields, tags: &[] }
}

/// A topic's name and numbers of its partitions, as in many requests.
const PARTITIONS: Shape = row(&[TEXT, INT32S]);

/// `None` where the API is none that clients are offered.
pub(super) fn shape_of(api: ApiKey) -> core::option::Option<&'static Shape> {
    Some(match api {
        ApiKey::Produce => &PRODUCE,
        ApiKey::Fetch => &FETCH,
        ApiKey::ListOffsets => &LIST_OFFSETS,
        ApiKey::Metadata => &METADATA,
        ApiKey::OffsetCommit => &OFFSET_COMMIT,
        ApiKey::OffsetFetch => &OFFSET_FETCH,
        ApiKey::FindCoordinator => &FIND_COORDINATOR,
        ApiKey::JoinGroup => &JOIN_GROUP,
        ApiKey::Heartbeat => &HEARTBEAT,
        ApiKey::LeaveGroup => &LEAVE_GROUP,
        ApiKey::SyncGroup => &SYNC_GROUP,
        ApiKey::ApiVersions => &API_VERSIONS,
        ApiKey::CreateTopics => &CREATE_TOPICS,
        ApiKey::InitProducerId => &INIT_PRODUCER_ID,
        ApiKey::AddPartitionsToTxn => &ADD_PARTITIONS_TO_TXN,
        ApiKey::AddOffsetsToTxn => &ADD_OFFSETS_TO_TXN,
        ApiKey::EndTxn => &END_TXN,
        ApiKey::TxnOffsetCommit => &TXN_OFFSET_COMMIT,
        ApiKey::WriteTxnMarkers => &WRITE_TXN_MARKERS,
        ApiKey::DeleteTopics => &DELETE_TOPICS,
        ApiKey::DeleteRecords => &DELETE_RECORDS,
        ApiKey::CreatePartitions => &CREATE_PARTITIONS,
        ApiKey::DescribeConfigs => &DESCRIBE_CONFIGS,
        ApiKey::IncrementalAlterConfigs => &INCREMENTAL_ALTER_CONFIGS,
        ApiKey::OffsetForLeaderEpoch => &OFFSET_FOR_LEADER_EPOCH,
        ApiKey::DescribeCluster => &DESCRIBE_CLUSTER,
        ApiKey::DescribeGroups => &DESCRIBE_GROUPS,
        ApiKey::ListGroups => &LIST_GROUPS,
        ApiKey::DeleteGroups => &DELETE_GROUPS,
        ApiKey::OffsetDelete => &OFFSET_DELETE,
        ApiKey::ElectLeaders => &ELECT_LEADERS,
        ApiKey::DescribeProducers => &DESCRIBE_PRODUCERS,
        ApiKey::DescribeTransactions => &DESCRIBE_TRANSACTIONS,
        ApiKey::ListTransactions => &LIST_TRANSACTIONS,
        ApiKey::DescribeTopicPartitions => &DESCRIBE_TOPIC_PARTITIONS,
        _ => return None,
    })
}

static PRODUCE: Shape = row(&[
    from(3, Text),
    INT16,
    INT32,
    all(Rows(&row(&[until(12, Text), from(13, UUID), all(Rows(&row(&[INT32, all(Data)])))]))),
]);

static FETCH: Shape = Shape {
    fields: &[
        until(14, Fixed(4)),
        INT32,
        INT32,
        INT32,
        INT8,
        from(7, Fixed(4)),
        from(7, Fixed(4)),
        all(Rows(&row(&[until(12, Text), from(13, UUID), all(Rows(&FETCH_PARTITION))]))),
        from(7, Rows(&row(&[until(12, Text), from(13, UUID), INT32S]))),
        from(11, Text),
    ],
    tags: &[(0, all(Text)), (1, from(15, Row(&row(&[INT32, INT64]))))],
};

static FETCH_PARTITION: Shape = Shape {
    fields: &[INT32, from(9, Fixed(4)), INT64, from(12, Fixed(4)), from(5, Fixed(8)), INT32],
    tags: &[(0, from(17, UUID)), (1, from(18, Fixed(8)))],
};

static LIST_OFFSETS: Shape = row(&[
    INT32,
    from(2, Fixed(1)),
    all(Rows(&row(&[TEXT, all(Rows(&row(&[INT32, from(4, Fixed(4)), INT64])))]))),
    from(10, Fixed(4)),
]);

static METADATA: Shape = row(&[
    all(Rows(&row(&[from(10, UUID), TEXT]))),
    from(4, Fixed(1)),
    between(8, 10, Fixed(1)),
    from(8, Fixed(1)),
]);

static OFFSET_COMMIT: Shape = row(&[
    TEXT,
    INT32,
    TEXT,
    from(7, Text),
    until(4, Fixed(8)),
    all(Rows(&row(&[TEXT, all(Rows(&row(&[INT32, INT64, from(6, Fixed(4)), TEXT])))]))),
]);

static OFFSET_FETCH: Shape = row(&[
    until(7, Text),
    until(7, Rows(&PARTITIONS)),
    from(8, Rows(&row(&[TEXT, from(9, Text), from(9, Fixed(4)), all(Rows(&PARTITIONS))]))),
    from(7, Fixed(1)),
]);

static FIND_COORDINATOR: Shape = row(&[until(3, Text), from(1, Fixed(1)), from(4, List(&Text))]);

static JOIN_GROUP: Shape = row(&[
    TEXT,
    INT32,
    from(1, Fixed(4)),
    TEXT,
    from(5, Text),
    TEXT,
    all(Rows(&row(&[TEXT, all(Data)]))),
    from(8, Text),
]);

static HEARTBEAT: Shape = row(&[TEXT, INT32, TEXT, from(3, Text)]);

static LEAVE_GROUP: Shape = row(&[TEXT, until(2, Text), from(3, Rows(&row(&[TEXT, TEXT, from(5, Text)])))]);

static SYNC_GROUP: Shape = row(&[
    TEXT,
    INT32,
    TEXT,
    from(3, Text),
    from(5, Text),
    from(5, Text),
    all(Rows(&row(&[TEXT, all(Data)]))),
]);

static API_VERSIONS: Shape = row(&[from(3, Text), from(3, Text)]);

static CREATE_TOPICS: Shape = row(&[
    all(Rows(&row(&[TEXT, INT32, INT16, all(Rows(&row(&[INT32, INT32S]))), all(Rows(&row(&[TEXT, TEXT])))]))),
    INT32,
    BOOL,
]);

static INIT_PRODUCER_ID: Shape = row(&[TEXT, INT32, from(3, Fixed(8)), from(3, Fixed(2))]);

static ADD_PARTITIONS_TO_TXN: Shape = row(&[
    from(4, Rows(&row(&[TEXT, INT64, INT16, BOOL, all(Rows(&PARTITIONS))]))),
    until(3, Text),
    until(3, Fixed(8)),
    until(3, Fixed(2)),
    until(3, Rows(&PARTITIONS)),
]);

static ADD_OFFSETS_TO_TXN: Shape = row(&[TEXT, INT64, INT16, TEXT]);

static END_TXN: Shape = row(&[TEXT, INT64, INT16, BOOL]);

static TXN_OFFSET_COMMIT: Shape = row(&[
    TEXT,
    TEXT,
    INT64,
    INT16,
    from(3, Fixed(4)),
    from(3, Text),
    from(3, Text),
    all(Rows(&row(&[TEXT, all(Rows(&row(&[INT32, INT64, from(2, Fixed(4)), TEXT])))]))),
]);

static WRITE_TXN_MARKERS: Shape =
    row(&[all(Rows(&row(&[INT64, INT16, BOOL, all(Rows(&PARTITIONS)), INT32])))]);

static DELETE_TOPICS: Shape = row(&[from(6, Rows(&row(&[TEXT, all(UUID)]))), until(5, List(&Text)), INT32]);

static DELETE_RECORDS: Shape = row(&[all(Rows(&row(&[TEXT, all(Rows(&row(&[INT32, INT64])))]))), INT32]);

static CREATE_PARTITIONS: Shape =
    row(&[all(Rows(&row(&[TEXT, INT32, all(Rows(&row(&[INT32S])))]))), INT32, BOOL]);

static DESCRIBE_CONFIGS: Shape = row(&[all(Rows(&row(&[INT8, TEXT, TEXTS]))), BOOL, from(3, Fixed(1))]);

static INCREMENTAL_ALTER_CONFIGS: Shape =
    row(&[all(Rows(&row(&[INT8, TEXT, all(Rows(&row(&[TEXT, INT8, TEXT])))]))), BOOL]);

static OFFSET_FOR_LEADER_EPOCH: Shape =
    row(&[from(3, Fixed(4)), all(Rows(&row(&[TEXT, all(Rows(&row(&[INT32, INT32, INT32])))])))]);

static DESCRIBE_CLUSTER: Shape = row(&[BOOL, from(1, Fixed(1)), from(2, Fixed(1))]);

static DESCRIBE_GROUPS: Shape = row(&[TEXTS, from(3, Fixed(1))]);

static LIST_GROUPS: Shape = row(&[from(4, List(&Text)), from(5, List(&Text))]);

static DELETE_GROUPS: Shape = row(&[TEXTS]);

static OFFSET_DELETE: Shape = row(&[TEXT, all(Rows(&row(&[TEXT, all(Rows(&row(&[INT32])))])))]);

static ELECT_LEADERS: Shape = row(&[from(1, Fixed(1)), all(Rows(&PARTITIONS)), INT32]);

static DESCRIBE_PRODUCERS: Shape = row(&[all(Rows(&PARTITIONS))]);

static DESCRIBE_TRANSACTIONS: Shape = row(&[TEXTS]);

static LIST_TRANSACTIONS: Shape = row(&[TEXTS, all(List(&Fixed(8))), from(1, Fixed(8)), from(2, Text)]);

static DESCRIBE_TOPIC_PARTITIONS: Shape =
    row(&[all(Rows(&row(&[TEXT]))), INT32, all(Option(&row(&[TEXT, INT32])))]);
