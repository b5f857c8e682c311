//! Responses of layers and handlers: denials, problem documents (RFC 9457), gRPC rejections, rate-limit
//! headers.

pub(crate) mod body;
pub(crate) mod decisions;
pub(crate) mod denial;
pub(crate) mod grpc;
mod json;
pub(crate) mod layer_order;
pub(crate) mod problem;
pub(crate) mod rate_limit_headers;

mod status;
mod timestamp;
