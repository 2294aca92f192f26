//! The types of the core's functions, read from its WIT: what a transcript's JSON means in a language that
//! cannot ask the component.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::{Map, Value as Json};
use wit_parser::{Resolve, Type, TypeDefKind, WorldItem};

/// A type.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ty {
    /// A truth value.
    Bool,
    /// A number of at most 32 bits.
    Number,
    /// A number of 64 bits.
    Wide,
    /// Text.
    String,
    /// A list.
    List(Box<Ty>),
    /// A tuple.
    Tuple(Vec<Ty>),
    /// A record's fields.
    Record(Vec<(String, Ty)>),
    /// An enum's names.
    Enum(Vec<String>),
    /// An option.
    Option(Box<Ty>),
    /// A variant's cases.
    Variant(Vec<(String, Option<Ty>)>),
    /// A result's halves.
    Result(Option<Box<Ty>>, Option<Box<Ty>>),
}

/// A function.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Function {
    /// Its interface.
    pub interface: String,
    /// Its name.
    pub name: String,
    /// Its parameters.
    pub parameters: Vec<Ty>,
    /// What it gives.
    pub result: Ty,
}

/// Every function that the core exports.
///
/// # Errors
/// When the WIT cannot be read, or has a type that no transcript can show.
pub fn functions(wit: &Path) -> Result<Vec<Function>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit)?;
    let world = resolve.packages[package].worlds.get("core").context("there is no world core")?;
    let mut functions = Vec::new();
    for item in resolve.worlds[*world].exports.values() {
        let WorldItem::Interface { id, .. } = item else { continue };
        let interface = &resolve.interfaces[*id];
        for function in interface.functions.values() {
            let parameters: Result<Vec<Ty>> =
                function.params.iter().map(|parameter| ty(&resolve, &parameter.ty)).collect();
            functions.push(Function {
                interface: interface.name.clone().unwrap_or_default(),
                name: function.name.clone(),
                parameters: parameters?,
                result: ty(&resolve, function.result.as_ref().context("it gives nothing")?)?,
            });
        }
    }
    Ok(functions)
}

fn ty(resolve: &Resolve, given: &Type) -> Result<Ty> {
    let one = |given: &Type| ty(resolve, given);
    Ok(match given {
        Type::Bool => Ty::Bool,
        Type::U8 | Type::U16 | Type::U32 | Type::S8 | Type::S16 | Type::S32 => Ty::Number,
        Type::U64 | Type::S64 => Ty::Wide,
        Type::String => Ty::String,
        Type::Id(id) => match &resolve.types[*id].kind {
            TypeDefKind::Type(inner) => one(inner)?,
            TypeDefKind::List(inner) => Ty::List(Box::new(one(inner)?)),
            TypeDefKind::Option(inner) => Ty::Option(Box::new(one(inner)?)),
            TypeDefKind::Tuple(tuple) => {
                Ty::Tuple(tuple.types.iter().map(one).collect::<Result<_>>()?)
            }
            TypeDefKind::Record(record) => {
                let field = |f: &wit_parser::Field| Ok((f.name.clone(), one(&f.ty)?));
                Ty::Record(record.fields.iter().map(field).collect::<Result<_>>()?)
            }
            TypeDefKind::Enum(cases) => {
                Ty::Enum(cases.cases.iter().map(|c| c.name.clone()).collect())
            }
            TypeDefKind::Variant(variant) => {
                let case = |c: &wit_parser::Case| {
                    Ok((c.name.clone(), c.ty.as_ref().map(one).transpose()?))
                };
                Ty::Variant(variant.cases.iter().map(case).collect::<Result<_>>()?)
            }
            TypeDefKind::Result(result) => {
                let half = |half: &Option<Type>| half.as_ref().map(one).transpose();
                Ty::Result(half(&result.ok)?.map(Box::new), half(&result.err)?.map(Box::new))
            }
            other => bail!("no transcript shows a {other:?}"),
        },
        other => bail!("no transcript shows a {other:?}"),
    })
}

fn camel(name: &str) -> String {
    name.split('-')
        .map(|word| {
            word.chars()
                .take(1)
                .flat_map(char::to_uppercase)
                .chain(word.chars().skip(1))
                .collect::<String>()
        })
        .collect()
}

/// A transcript's value as serde writes that of Rust.
///
/// # Errors
/// When it is not of the type.
pub fn to_rust(json: &Json, ty: &Ty) -> Result<Json> {
    let fits = || format!("{json} does not fit");
    Ok(match ty {
        Ty::Bool | Ty::Number | Ty::Wide | Ty::String => json.clone(),
        Ty::List(inner) => {
            let items = json.as_array().with_context(fits)?;
            Json::Array(items.iter().map(|item| to_rust(item, inner)).collect::<Result<_>>()?)
        }
        Ty::Tuple(types) => {
            let items = json.as_array().with_context(fits)?.iter().zip(types);
            Json::Array(items.map(|(item, ty)| to_rust(item, ty)).collect::<Result<_>>()?)
        }
        Ty::Record(fields) => {
            let field = |(name, ty): &(String, Ty)| {
                Ok((name.replace('-', "_"), to_rust(json.get(name).with_context(fits)?, ty)?))
            };
            Json::Object(fields.iter().map(field).collect::<Result<_>>()?)
        }
        Ty::Enum(_) => Json::String(camel(json.as_str().with_context(fits)?)),
        Ty::Option(_) if json.is_null() => Json::Null,
        Ty::Option(inner) => to_rust(json, inner)?,
        Ty::Variant(cases) => {
            let (name, value) =
                json.as_object().and_then(|o| o.iter().next()).with_context(fits)?;
            let (_, ty) = cases.iter().find(|(case, _)| case == name).with_context(fits)?;
            match ty {
                None => Json::String(camel(name)),
                Some(ty) => Json::Object(Map::from_iter([(camel(name), to_rust(value, ty)?)])),
            }
        }
        Ty::Result(..) => bail!("nothing is given a result"),
    })
}

/// What serde wrote of a value of Rust as a transcript's.
///
/// # Errors
/// When it is not of the type.
pub fn from_rust(json: &Json, ty: &Ty) -> Result<Json> {
    let fits = || format!("{json} does not fit");
    let one = |name: &str, value: Json| Json::Object(Map::from_iter([(name.to_owned(), value)]));
    Ok(match ty {
        Ty::Bool | Ty::Number | Ty::Wide | Ty::String => json.clone(),
        Ty::List(inner) => {
            let items = json.as_array().with_context(fits)?;
            Json::Array(items.iter().map(|item| from_rust(item, inner)).collect::<Result<_>>()?)
        }
        Ty::Tuple(types) => {
            let items = json.as_array().with_context(fits)?.iter().zip(types);
            Json::Array(items.map(|(item, ty)| from_rust(item, ty)).collect::<Result<_>>()?)
        }
        Ty::Record(fields) => {
            let field = |(name, ty): &(String, Ty)| {
                let value = json.get(name.replace('-', "_")).with_context(fits)?;
                Ok((name.clone(), from_rust(value, ty)?))
            };
            Json::Object(fields.iter().map(field).collect::<Result<_>>()?)
        }
        Ty::Enum(names) => {
            let name = names.iter().find(|name| Some(camel(name).as_str()) == json.as_str());
            Json::String(name.with_context(fits)?.clone())
        }
        Ty::Option(_) if json.is_null() => Json::Null,
        Ty::Option(inner) => from_rust(json, inner)?,
        Ty::Variant(cases) => {
            let (name, value) = match json {
                Json::String(name) => (name, &Json::Null),
                _ => json.as_object().and_then(|o| o.iter().next()).with_context(fits)?,
            };
            let (name, ty) =
                cases.iter().find(|(case, _)| camel(case) == *name).with_context(fits)?;
            one(name, ty.as_ref().map_or(Ok(Json::Null), |ty| from_rust(value, ty))?)
        }
        Ty::Result(ok, error) => {
            let (name, value) =
                json.as_object().and_then(|o| o.iter().next()).with_context(fits)?;
            let (name, ty) = if name == "Ok" { ("ok", ok) } else { ("error", error) };
            one(name, ty.as_ref().map_or(Ok(Json::Null), |ty| from_rust(value, ty))?)
        }
    })
}
