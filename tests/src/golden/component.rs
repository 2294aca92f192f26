//! The core component in wasmtime, called by name as a host would that has no bindings.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value as Json, json};
use wasmtime::component::{Component, Instance, Linker, Type, Val};
use wasmtime::{Config, Engine, Store};

use super::Call;

/// An instance of it.
pub struct Host {
    store: Store<()>,
    instance: Instance,
}

impl Host {
    /// Loads the core component.
    ///
    /// # Errors
    /// When it cannot be instantiated without any import.
    pub fn new() -> Result<Host> {
        let mut config = Config::new();
        config.concurrency_support(false);
        let engine = Engine::new(&config).map_err(failed)?;
        let component = Component::new(&engine, firn_components::CORE).map_err(failed)?;
        let mut store = Store::new(&engine, ());
        let linker: Linker<()> = Linker::new(&engine);
        let instance = linker.instantiate(&mut store, &component).map_err(failed)?;
        Ok(Host { store, instance })
    }

    /// Makes a call.
    ///
    /// # Errors
    /// When there is no such function, an argument does not fit, or the component traps.
    pub fn call(&mut self, call: &Call) -> Result<Json> {
        let interface = format!("firn:sync/{}@0.1.0", call.interface);
        let outer = self.instance.get_export_index(&mut self.store, None, &interface);
        let outer = outer.with_context(|| format!("there is no interface {interface}"))?;
        let inner = self.instance.get_export_index(&mut self.store, Some(&outer), &call.function);
        let inner = inner.with_context(|| format!("there is no function {}", call.function))?;
        let function = self.instance.get_func(&mut self.store, inner).context("not a function")?;
        let types: Vec<Type> = function.ty(&self.store).params().map(|(_, ty)| ty).collect();
        if types.len() != call.arguments.len() {
            bail!("{} takes {} arguments", call.function, types.len());
        }
        let arguments: Result<Vec<Val>> =
            types.iter().zip(&call.arguments).map(|(ty, json)| lower(json, ty)).collect();
        let mut results = vec![Val::Bool(false)];
        function.call(&mut self.store, &arguments?, &mut results).map_err(failed)?;
        Ok(results.first().map(lift).unwrap_or_default())
    }
}

fn failed(why: impl std::fmt::Debug) -> anyhow::Error {
    anyhow::anyhow!("{why:?}")
}

/// JSON as a component's value of a type.
fn lower(json: &Json, ty: &Type) -> Result<Val> {
    let fits = || format!("{json} does not fit");
    Ok(match ty {
        Type::Bool => Val::Bool(json.as_bool().with_context(fits)?),
        Type::U16 => Val::U16(u16::try_from(json.as_u64().with_context(fits)?)?),
        Type::U32 => Val::U32(u32::try_from(json.as_u64().with_context(fits)?)?),
        Type::U64 => Val::U64(json.as_u64().with_context(fits)?),
        Type::S32 => Val::S32(i32::try_from(json.as_i64().with_context(fits)?)?),
        Type::S64 => Val::S64(json.as_i64().with_context(fits)?),
        Type::String => Val::String(json.as_str().with_context(fits)?.to_owned()),
        Type::List(list) => {
            let items = json.as_array().with_context(fits)?;
            Val::List(items.iter().map(|i| lower(i, &list.ty())).collect::<Result<_>>()?)
        }
        Type::Tuple(tuple) => {
            let items = json.as_array().with_context(fits)?;
            Val::Tuple(
                items
                    .iter()
                    .zip(tuple.types())
                    .map(|(i, ty)| lower(i, &ty))
                    .collect::<Result<_>>()?,
            )
        }
        Type::Record(record) => Val::Record(
            record
                .fields()
                .map(|f| {
                    Ok((f.name.to_owned(), lower(json.get(f.name).with_context(fits)?, &f.ty)?))
                })
                .collect::<Result<_>>()?,
        ),
        Type::Enum(_) => Val::Enum(json.as_str().with_context(fits)?.to_owned()),
        Type::Option(_) if json.is_null() => Val::Option(None),
        Type::Option(option) => Val::Option(Some(Box::new(lower(json, &option.ty())?))),
        Type::Variant(variant) => {
            let (name, value) =
                json.as_object().and_then(|o| o.iter().next()).with_context(fits)?;
            let case = variant.cases().find(|c| c.name == name).with_context(fits)?;
            let payload = case.ty.as_ref().map(|ty| lower(value, ty)).transpose()?;
            Val::Variant(name.clone(), payload.map(Box::new))
        }
        other => bail!("no argument of Firn's is a {other:?}"),
    })
}

/// A component's value as JSON.
fn lift(value: &Val) -> Json {
    let one = |name: &str, value: Json| Json::Object(Map::from_iter([(name.to_owned(), value)]));
    let inside = |value: &Option<Box<Val>>| value.as_deref().map_or(Json::Null, lift);
    match value {
        Val::Bool(b) => json!(b),
        Val::U8(n) => json!(n),
        Val::U16(n) => json!(n),
        Val::U32(n) => json!(n),
        Val::U64(n) => json!(n),
        Val::S32(n) => json!(n),
        Val::S64(n) => json!(n),
        Val::String(text) | Val::Enum(text) => json!(text),
        Val::List(items) | Val::Tuple(items) => items.iter().map(lift).collect(),
        Val::Record(fields) => {
            Json::Object(fields.iter().map(|(n, v)| (n.clone(), lift(v))).collect())
        }
        Val::Option(value) => inside(value),
        Val::Variant(name, value) => one(name, inside(value)),
        Val::Result(Ok(value)) => one("ok", inside(value)),
        Val::Result(Err(value)) => one("error", inside(value)),
        other => json!(format!("{other:?}")),
    }
}
