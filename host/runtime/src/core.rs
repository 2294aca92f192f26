//! The `core` component for the host itself: settings are checked and texts masked by the same bytes
//! that decide inside gateways. Pure calls; an instance that traps is dropped.

use std::path::Path;

use firn_model::{Fault, Level};
use wasmtime::component::Linker;
use wasmtime::{Config, Engine, Store};

use crate::{Limiter, RuntimeError, error};

mod bindings {
    #![allow(missing_docs, unreachable_pub)]
    wasmtime::component::bindgen!({ world: "core", path: "../../wit" });
}

pub use bindings::exports::firn::sync::masking::{Masked, Place, Span};
use bindings::exports::firn::sync::settings;
pub use bindings::exports::firn::sync::settings::{Question, Reply};

/// Makes a token of a type and a canonical value.
pub type MakeToken<'a> = &'a dyn Fn(&str, &str) -> String;

/// The core component, ready to be asked.
pub struct Core {
    store: Store<Limiter>,
    instance: bindings::Core,
}

impl Core {
    /// Loads the core component that Firn ships; its machine code from `cache`, if that has it.
    ///
    /// # Errors
    /// When it cannot be compiled.
    pub fn new(cache: Option<&Path>) -> Result<Core, RuntimeError> {
        // A command line asks it one thing and ends: compiling is most of what that costs.
        Core::with(wasmtime::OptLevel::None, cache)
    }

    /// The same for many calls: it takes longer to load, and each call less.
    ///
    /// # Errors
    /// When it cannot be compiled.
    pub fn for_many(cache: Option<&Path>) -> Result<Core, RuntimeError> {
        Core::with(wasmtime::OptLevel::Speed, cache)
    }

    fn with(level: wasmtime::OptLevel, cache: Option<&Path>) -> Result<Core, RuntimeError> {
        let mut config = Config::new();
        config.concurrency_support(false);
        config.cranelift_nan_canonicalization(true);
        config.cranelift_opt_level(level);
        let engine = Engine::new(&config).map_err(error)?;
        let component = crate::load(&engine, firn_components::CORE, cache)?;
        let mut store = Store::new(&engine, Limiter::default());
        store.limiter(|limiter| limiter);
        let linker: Linker<Limiter> = Linker::new(&engine);
        let instance =
            bindings::Core::instantiate(&mut store, &component, &linker).map_err(error)?;
        Ok(Core { store, instance })
    }

    /// Every fault of a settings document (JSON) at once.
    ///
    /// # Errors
    /// When the component traps.
    pub fn check(&mut self, document: &str) -> Result<Vec<Fault>, RuntimeError> {
        let settings = self.instance.firn_sync_settings();
        let faults = settings.call_check(&mut self.store, document).map_err(error)?;
        Ok(faults.into_iter().map(fault).collect())
    }

    /// Every fault of a gateway's document (JSON) at once. Its secrets stand in it: there is no environment.
    ///
    /// # Errors
    /// When the component traps.
    pub fn check_gateway(&mut self, document: &str) -> Result<Vec<Fault>, RuntimeError> {
        let gateway = self.instance.firn_sync_gateway();
        let faults = gateway.call_check(&mut self.store, document).map_err(error)?;
        Ok(faults.into_iter().map(fault).collect())
    }

    /// A settings document (JSON) completed from its preset, as JSON.
    ///
    /// # Errors
    /// The faults of the document, or why the component failed.
    pub fn complete(&mut self, document: &str) -> Result<Result<String, Vec<Fault>>, RuntimeError> {
        let settings = self.instance.firn_sync_settings();
        let completed = settings.call_complete(&mut self.store, document).map_err(error)?;
        Ok(completed.map_err(|faults| faults.into_iter().map(fault).collect()))
    }

    /// Masks a text by the default policy.
    ///
    /// # Errors
    /// When the component traps.
    pub fn mask(&mut self, text: &str) -> Result<Masked, RuntimeError> {
        self.instance.firn_sync_masking().call_mask(&mut self.store, text).map_err(error)
    }

    /// Every fault of a masking policy (JSON).
    ///
    /// # Errors
    /// When the component traps.
    pub fn masking_faults(&mut self, policy: &str) -> Result<Vec<Fault>, RuntimeError> {
        let masking = self.instance.firn_sync_masking();
        let faults = masking.call_faults(&mut self.store, policy).map_err(error)?;
        Ok(faults.into_iter().map(fault).collect())
    }

    /// Masks a text by a policy (JSON). `token` makes a token of a type and a canonical value; without
    /// it what should become one is redacted.
    ///
    /// # Errors
    /// The faults of the policy, or why the component failed.
    pub fn mask_by(
        &mut self,
        policy: &str,
        place: &Place,
        text: &str,
        token: Option<MakeToken<'_>>,
    ) -> Result<Result<Masked, Vec<Fault>>, RuntimeError> {
        let masking = self.instance.firn_sync_masking();
        let mut tokens = Vec::new();
        if let Some(token) = token {
            let wanted = masking.call_canonical(&mut self.store, policy, place, text);
            match wanted.map_err(error)? {
                Ok(wanted) => tokens = wanted,
                Err(faults) => return Ok(Err(faults.into_iter().map(fault).collect())),
            }
            for one in &mut tokens {
                one.token = token(&one.kind, &one.canonical);
            }
        }
        let masked = masking.call_mask_by(&mut self.store, policy, place, text, &tokens);
        Ok(masked.map_err(error)?.map_err(|faults| faults.into_iter().map(fault).collect()))
    }

    /// What has to be asked of an instance to judge a sound document (JSON) against it.
    ///
    /// # Errors
    /// The faults of the document, or why the component failed.
    pub fn questions(
        &mut self,
        document: &str,
    ) -> Result<Result<Vec<Question>, Vec<Fault>>, RuntimeError> {
        let settings = self.instance.firn_sync_settings();
        let asked = settings.call_questions(&mut self.store, document).map_err(error)?;
        Ok(asked.map_err(|faults| faults.into_iter().map(fault).collect()))
    }

    /// The faults of a document in the light of what an instance answered.
    ///
    /// # Errors
    /// When the component traps.
    pub fn judge(&mut self, document: &str, replies: &[Reply]) -> Result<Vec<Fault>, RuntimeError> {
        let settings = self.instance.firn_sync_settings();
        let faults = settings.call_judge(&mut self.store, document, replies).map_err(error)?;
        Ok(faults.into_iter().map(fault).collect())
    }
}

fn fault(fault: settings::Fault) -> Fault {
    Fault {
        level: match fault.level {
            settings::Level::Error => Level::Error,
            settings::Level::Warning => Level::Warning,
        },
        at: fault.at,
        text: fault.text,
        remedy: fault.remedy,
    }
}
