//! Everything that leaves the house: connections, credentials, budgets, address checks, and the
//! provisioning of business rules.
//!
//! [`Carrier`] is the http door: it carries the engine's requests to where an integration's
//! addresses point, adds credentials, keeps the instance's budget, and says honestly how a request
//! ended. [`verify`] and [`token()`] are the secrets door. [`Provisioner`] installs and removes what makes ServiceNow
//! send webhooks.

mod address;
mod api_path;
mod ask;
mod budget;
mod carrier;
mod doctor;
mod file;
mod provision;
mod secret;
mod signature;
mod signin;
mod tokens;
mod visit;

pub use address::{AddressError, Addresses, Egress};
pub use api_path::{ApiPath, InvalidApiPath};
pub use ask::{Reader, Rows};
pub use carrier::{Carrier, Target};
pub use doctor::{Check, Doctor, PING, Verdict};
pub use provision::{Artifact, ExportFormat, ProvisionError, Provisioner, Step};
pub use secret::{Credentials, Granted, Secret, SecretError, Secrets, Token};
pub use signature::{new_webhook_secret, random, sign, verify};
pub use signin::{Consent, Keeper, SignInState, TurnToSignIn};
pub use tokens::{new_token_key, token};
