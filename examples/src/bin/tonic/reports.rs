//! The service `Reports`: list, publish and follow reports.

use std::pin::Pin;

use goat_core::limit::LimitKey;
use goat_core::{Error, ErrorKind, Goat, Principal, Quota};
use goat_tower::Problem;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

use crate::api::reports_server::Reports as ReportsApi;
use crate::api::{Empty, Report, ReportList};
use crate::{REPORTS, principal};

/// Number of reports that a follower may lag behind before the stream fails.
const BACKLOG: usize = 16;

pub(crate) struct ReportsService {
    goat: Goat,
    published: broadcast::Sender<Report>,
}

impl ReportsService {
    pub(crate) fn new(goat: Goat) -> Self {
        Self { goat, published: broadcast::Sender::new(BACKLOG) }
    }
}

/// Re-checks the permission of a follower. A layer decides once, when a call begins, but a stream
/// may stay open for hours. This reads the store for each report and follower; for less load, check
/// once a minute, or through the cache with [`Goat::authenticate_token`].
async fn check_permission(goat: &Goat, me: &Principal) -> Result<(), Problem> {
    let fresh = goat.reauthenticate(me).await?;
    match fresh.principal().may(&REPORTS) {
        true => Ok(()),
        false => Err(ErrorKind::Forbidden.into()),
    }
}

#[tonic::async_trait]
impl ReportsApi for ReportsService {
    async fn list(&self, request: Request<Empty>) -> Result<Response<ReportList>, Status> {
        let title = format!("january, for {}", principal(&request)?.user());
        Ok(Response::new(ReportList { reports: vec![Report { title }] }))
    }

    async fn audit(&self, request: Request<Empty>) -> Result<Response<ReportList>, Status> {
        self.list(request).await
    }

    async fn publish(&self, request: Request<Report>) -> Result<Response<Empty>, Status> {
        // A limit of this method alone.
        let key = LimitKey::user("publish", principal(&request)?.user());
        let decision = self.goat.limits().acquire("publish", key, Quota::per_minute(5)).await;
        let decision = decision.map_err(Problem::from)?;
        if decision.is_limited() {
            return Err(Problem::from(Error::rate_limited(vec![decision])).into());
        }
        // An error means that there are no followers.
        let _ = self.published.send(request.into_inner());
        Ok(Response::new(Empty {}))
    }

    type FollowStream = Pin<Box<dyn Stream<Item = Result<Report, Status>> + Send>>;

    async fn follow(
        &self,
        request: Request<Empty>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let me = principal(&request)?.into_inner();
        let goat = self.goat.clone();
        let reports = BroadcastStream::new(self.published.subscribe()).then(move |report| {
            let (goat, me) = (goat.clone(), me.clone());
            async move {
                let report = report
                    .map_err(|_| Status::data_loss("the stream lagged behind; follow again"))?;
                check_permission(&goat, &me).await?;
                Ok(report)
            }
        });
        // The stream ends after the first error.
        Ok(Response::new(Box::pin(reports)))
    }
}
