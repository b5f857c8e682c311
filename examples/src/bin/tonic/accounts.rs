//! The service `Accounts`: sign up, sign in and sign out.

use goat_core::auth::{Login, SignUp};
use goat_core::session::Origin;
use goat_core::{Email, Goat};
use goat_tower::Problem;
use goat_tower::address::ClientAddress;
use tonic::{Request, Response, Status};

use crate::api::accounts_server::Accounts;
use crate::api::{Credentials, Empty, Tokens};
use crate::principal;

pub(crate) struct AccountsService {
    goat: Goat,
}

impl AccountsService {
    pub(crate) fn new(goat: Goat) -> Self {
        Self { goat }
    }
}

/// Returns the call's origin, which is stored with the session.
fn origin<T>(request: &Request<T>) -> Origin {
    let device = request.metadata().get("user-agent").and_then(|value| value.to_str().ok());
    Origin {
        address: ClientAddress::of(request.extensions()).map(ClientAddress::ip),
        device: device.map(str::to_owned),
        ..Origin::default()
    }
}

#[tonic::async_trait]
impl Accounts for AccountsService {
    async fn sign_up(&self, request: Request<Credentials>) -> Result<Response<Empty>, Status> {
        let origin = origin(&request);
        let Credentials { email, password } = request.into_inner();
        let email = Email::parse(&email).map_err(Problem::from)?;
        let request = SignUp::new(email, password, origin);
        self.goat.sign_up(request).await.map_err(Problem::from)?;
        Ok(Response::new(Empty {}))
    }

    async fn sign_in(&self, request: Request<Credentials>) -> Result<Response<Tokens>, Status> {
        let origin = origin(&request);
        let Credentials { email, password } = request.into_inner();
        let login = Login::new(email, password, origin);
        let tokens = self.goat.login(login).await.map_err(Problem::from)?.value.tokens;
        Ok(Response::new(Tokens {
            access_token: tokens.access_token.expose().to_owned(),
            refresh_token: tokens.refresh_token.expose().to_owned(),
        }))
    }

    async fn sign_out(&self, request: Request<Empty>) -> Result<Response<Empty>, Status> {
        let me = principal(&request)?;
        self.goat.logout(&me, &origin(&request)).await.map_err(Problem::from)?;
        Ok(Response::new(Empty {}))
    }
}
