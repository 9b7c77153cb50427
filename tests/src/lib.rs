//! The harness: what the tests of more than one part stand on.
//!
//! | module | holds |
//! | --- | --- |
//! | [`servers`] | PostgreSQL, Redis and NATS of the tests' own |
//! | [`stack`] | gateways and workers on them, in this process or as processes |
//! | [`crowd`] | many clients that connect again and send again as they are told to |
//! | [`comeback`] | many clients whose gateways are killed and come back |
//! | [`client`], [`token`] | a client of the wire contract, and its session tokens |
//! | [`smtp`], [`webhook`] | a mail server, and somebody to whom messages are posted |
//! | [`mod@eventually`] | waiting for a condition instead of sleeping |
//! | [`process`] | signals |
//! | [`balancer`] | the load balancer before a stack's gateways |
//! | [`prometheus`], [`exposition`] | what asks for metrics, and what they are |
//! | [`browser`] | Chromium, and Node, for what web pages do |
//! | [`proxy`] | the way to a server, which a test can cut, freeze and slow down; to NATS, which forgets subscriptions |
//! | [`pooler`] | PgBouncer before a PostgreSQL |
//! | [`chaos`] | a whole system whose parts fail at random, clients that go on, and what must hold afterwards |

pub mod balancer;
pub mod browser;
pub mod chaos;
pub mod client;
pub mod collector;
pub mod comeback;
pub mod crowd;
pub mod eventually;
pub mod exposition;
pub mod pooler;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod redis_cluster;
pub mod servers;
pub mod smtp;
pub mod stack;
pub mod token;
pub mod webhook;

pub use balancer::Balancer;
pub use browser::Browser;
pub use client::{Client, Connect, NotOpened, Refused};
pub use pooler::Pooler;
pub use prometheus::Prometheus;
pub use proxy::{Fault, Loss, Proxy, nats::NatsProxy};
pub use redis_cluster::RedisCluster;
pub use servers::{Isolated, Server, Servers};
pub use stack::{Pod, Stack};
