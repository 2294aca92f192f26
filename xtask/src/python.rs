//! The Python package's modules, written from the WIT: one for each interface, with its types as dataclasses,
//! its functions, and its words as they stand there.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use wit_parser::{
    Docs, Function, Handle, Interface, Resolve, Type, TypeDefKind, TypeId, TypeOwner,
};

/// Words that Python keeps for itself.
const KEPT: &[&str] = &[
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
    "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import",
    "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while",
    "with", "yield",
];

/// The modules by their file names.
pub(crate) fn modules(wit: &Path) -> Result<Vec<(String, String)>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit)?;
    let package = &resolve.packages[package];
    let world = *package.worlds.get("core").context("there is no world core")?;
    let mut written = Vec::new();
    for item in resolve.worlds[world].exports.values() {
        let wit_parser::WorldItem::Interface { id, .. } = item else { continue };
        let interface = &resolve.interfaces[*id];
        let name = interface.name.clone().context("an interface without a name")?;
        let text = Module { resolve: &resolve, interface, uses: BTreeSet::new() }.text()?;
        written.push((format!("{}.py", snake(&name)), text));
    }
    Ok(written)
}

struct Module<'a> {
    resolve: &'a Resolve,
    interface: &'a Interface,
    /// Other modules whose types are used.
    uses: BTreeSet<String>,
}

impl Module<'_> {
    fn text(mut self) -> Result<String> {
        let name = self.interface.name.clone().unwrap_or_default();
        let mut body = String::new();
        for (name, id) in &self.interface.types {
            body.push_str(&self.definition(name, *id)?);
        }
        for function in self.interface.functions.values() {
            body.push_str(&self.function(&name, function)?);
        }
        let mut text = format!("{}\n", doc(&self.interface.docs, ""));
        text.push_str("# Written from the component's WIT; changes here are lost.\n");
        text.push_str("from __future__ import annotations\n\n");
        if body.contains("@dataclass") {
            text.push_str("from dataclasses import dataclass\n");
        }
        let mut typing = Vec::new();
        for wanted in ["Literal", "Union"] {
            if body.contains(&format!("{wanted}[")) {
                typing.push(wanted);
            }
        }
        if !typing.is_empty() {
            text.push_str(&format!("from typing import {}\n", typing.join(", ")));
        }
        if !self.interface.functions.is_empty() {
            text.push_str("\nfrom ._component import call\n");
        }
        for module in &self.uses {
            text.push_str(&format!("from . import {module}\n"));
        }
        text.push_str(&body);
        Ok(text)
    }

    fn definition(&mut self, name: &str, id: TypeId) -> Result<String> {
        let definition = &self.resolve.types[id];
        let title = camel(name);
        let mut text = String::from("\n\n");
        match &definition.kind {
            TypeDefKind::Record(record) => {
                text.push_str(&format!(
                    "@dataclass(frozen=True)\nclass {title}:\n{}",
                    doc(&definition.docs, "    ")
                ));
                for field in &record.fields {
                    let ty = self.ty(&field.ty)?;
                    text.push_str(&format!(
                        "\n    {}: {ty}\n{}",
                        snake(&field.name),
                        doc(&field.docs, "    ")
                    ));
                }
            }
            TypeDefKind::Enum(one) => {
                let cases: Vec<String> =
                    one.cases.iter().map(|case| format!("{:?}", case.name)).collect();
                text.push_str(&format!(
                    "{title} = Literal[{}]\n{}",
                    cases.join(", "),
                    doc(&definition.docs, "")
                ));
            }
            TypeDefKind::Variant(variant) => {
                let mut cases = Vec::new();
                for case in &variant.cases {
                    let class = format!("{title}{}", camel(&case.name));
                    let docs = doc(&case.docs, "    ");
                    text.push_str(&format!(
                        "@dataclass(frozen=True)\nclass {class}:\n{docs}\n    _case = {:?}\n",
                        case.name
                    ));
                    if let Some(ty) = &case.ty {
                        text.push_str(&format!("    value: {}\n", self.ty(ty)?));
                    }
                    text.push_str("\n\n");
                    cases.push(class);
                }
                text.push_str(&format!(
                    "{title} = Union[{}]\n{}",
                    cases.join(", "),
                    doc(&definition.docs, "")
                ));
            }
            TypeDefKind::Type(Type::Id(other))
                if self.owner(*other) != self.interface.name.as_deref() =>
            {
                // `use`: it is written where it is defined.
                let ty = self.ty(&Type::Id(*other))?;
                text = format!("\n{title} = {ty}\n");
            }
            TypeDefKind::Type(_) | TypeDefKind::List(_) | TypeDefKind::Tuple(_) => {
                let ty = self.kind(&definition.kind)?;
                text.push_str(&format!("{title} = {ty}\n{}", doc(&definition.docs, "")));
            }
            other => bail!("{name}: no Python is known for {other:?}"),
        }
        Ok(text)
    }

    fn function(&mut self, interface: &str, function: &Function) -> Result<String> {
        let mut parameters = Vec::new();
        let mut given = Vec::new();
        for parameter in &function.params {
            let name = snake(&parameter.name);
            parameters.push(format!("{name}: {}", self.ty(&parameter.ty)?));
            given.push(name);
        }
        let (answer, raises) = match &function.result {
            None => ("None".to_owned(), false),
            Some(ty) => match self.result(ty) {
                Some(Some(ok)) => (self.ty(&ok)?, true),
                Some(None) => ("None".to_owned(), true),
                None => (self.ty(ty)?, false),
            },
        };
        let name = snake(&function.name);
        let docs = doc(&function.docs, "    ");
        let raises = if raises { "    # Raises CoreError with what is wrong.\n" } else { "" };
        let comma = if given.is_empty() { "" } else { ", " };
        Ok(format!(
            "\n\ndef {name}({}) -> {answer}:\n{docs}{raises}    return call({interface:?}, {:?}, {name}{comma}{})\n",
            parameters.join(", "),
            function.name,
            given.join(", ")
        ))
    }

    /// The happy half of a result.
    fn result(&self, ty: &Type) -> Option<Option<Type>> {
        let Type::Id(id) = ty else { return None };
        match &self.resolve.types[*id].kind {
            TypeDefKind::Result(result) => Some(result.ok),
            _ => None,
        }
    }

    fn owner(&self, id: TypeId) -> Option<&str> {
        match self.resolve.types[id].owner {
            TypeOwner::Interface(interface) => self.resolve.interfaces[interface].name.as_deref(),
            _ => None,
        }
    }

    fn ty(&mut self, ty: &Type) -> Result<String> {
        Ok(match ty {
            Type::Bool => "bool".to_owned(),
            Type::String | Type::Char => "str".to_owned(),
            Type::U8
            | Type::U16
            | Type::U32
            | Type::U64
            | Type::S8
            | Type::S16
            | Type::S32
            | Type::S64 => "int".to_owned(),
            Type::Id(id) => {
                let definition = &self.resolve.types[*id];
                match (&definition.name, self.owner(*id)) {
                    (Some(name), owner) if owner == self.interface.name.as_deref() => camel(name),
                    (Some(name), Some(owner)) => {
                        let module = snake(owner);
                        let name = format!("{module}.{}", camel(name));
                        self.uses.insert(module);
                        name
                    }
                    _ => self.kind(&definition.kind.clone())?,
                }
            }
            other => bail!("no Python is known for {other:?}"),
        })
    }

    fn kind(&mut self, kind: &TypeDefKind) -> Result<String> {
        Ok(match kind {
            TypeDefKind::List(inner) => format!("list[{}]", self.ty(inner)?),
            TypeDefKind::Option(inner) => format!("Union[{}, None]", self.ty(inner)?),
            TypeDefKind::Tuple(tuple) => {
                let types: Result<Vec<String>> = tuple.types.iter().map(|ty| self.ty(ty)).collect();
                format!("tuple[{}]", types?.join(", "))
            }
            TypeDefKind::Type(ty) => self.ty(ty)?,
            TypeDefKind::Handle(Handle::Own(_) | Handle::Borrow(_)) => {
                bail!("the core has no resources")
            }
            other => bail!("no Python is known for {other:?}"),
        })
    }
}

fn snake(name: &str) -> String {
    let name = name.replace('-', "_");
    if KEPT.contains(&name.as_str()) { format!("{name}_") } else { name }
}

fn camel(name: &str) -> String {
    name.split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

fn doc(docs: &Docs, indent: &str) -> String {
    let Some(text) = &docs.contents else { return String::new() };
    let text = text.trim().replace('\\', "\\\\");
    let lines: Vec<String> =
        text.lines()
            .enumerate()
            .map(|(i, line)| {
                if i == 0 || line.is_empty() { line.to_owned() } else { format!("{indent}{line}") }
            })
            .collect();
    let end = if lines.len() > 1 { format!("\n{indent}") } else { String::new() };
    format!("{indent}\"\"\"{}{end}\"\"\"\n", lines.join("\n"))
}
