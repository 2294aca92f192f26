//! The core natively and as a component: one plan, one masked ticket, one webhook through a gateway.

use anyhow::{Context, Result};
use firn_core::gateway::Gateway;
use firn_core::plan::Input;
use firn_core_component::Core as Native;
use firn_core_component::interfaces::{gateway as native_gateway, masking, planner};
use firn_tests::golden::gateway;
use firn_tests::sample::{NOW, in_step, record};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};

mod bindings {
    #![allow(missing_docs, unreachable_pub)]
    wasmtime::component::bindgen!({ world: "core", path: "../wit" });
}

const TICKET: &str = "Caller is best reached on her mobile 415-555-0132 after 3 pm. User reports that the VPN client drops \
    every 20 minutes since the update on 2025-03-11. Restarted the print spooler on the server and cleared 14 jobs; printing \
    works again. Outlook shows error 0x800CCC0E when sending attachments larger than 20 MB. The order 4500123987 was booked \
    twice; see INC0012345 and CHG0040021 for what was done. Please answer to ann.lee@example.com, the old address is not read \
    any more. We rolled back to version 8.4.2.1 and the error rate went from 12.5 % to 0.3 % within 5 minutes.";

pub(crate) fn print() -> Result<()> {
    let mut config = Config::new();
    config.concurrency_support(false);
    config.cranelift_nan_canonicalization(true);
    let engine = Engine::new(&config).map_err(|e| anyhow::anyhow!("{e:?}"))?;
    let component =
        Component::new(&engine, firn_components::CORE).map_err(|e| anyhow::anyhow!("{e:?}"))?;
    let mut store = Store::new(&engine, ());
    let linker: Linker<()> = Linker::new(&engine);
    let core = bindings::Core::instantiate(&mut store, &component, &linker);
    let core = core.map_err(|e| anyhow::anyhow!("{e:?}"))?;
    println!("microseconds a call, median of 60 turns         native  component  ratio");
    let line = |name: &str, took: &[f64]| {
        println!("{name:<46} {:>8.1} {:>10.1} {:>6.2}", took[0], took[1], took[1] / took[0]);
    };

    let (integration, _, link) = in_step()?;
    let [integration, link] = [serde_json::to_string(&integration)?, serde_json::to_string(&link)?];
    let inputs = serde_json::to_string(&[Input::Seen(record(2, "second"))])?;
    let took = super::super::in_turns(&mut [
        ("native", &mut || {
            let plan = <Native as planner::Guest>::advance(
                integration.clone(),
                link.clone(),
                inputs.clone(),
                NOW.0,
            );
            assert!(plan.is_ok());
        }),
        ("component", &mut || {
            let planner = core.firn_sync_planner();
            let plan = planner.call_advance(&mut store, &integration, &link, &inputs, NOW.0);
            assert!(matches!(plan, Ok(Ok(_))));
        }),
    ]);
    line("plan: an edit of a record of 20 fields", &took);

    let took = super::super::in_turns(&mut [
        ("native", &mut || {
            assert_eq!(<Native as masking::Guest>::mask(TICKET.to_owned()).spans.len(), 2);
        }),
        ("component", &mut || {
            let masked = core.firn_sync_masking().call_mask(&mut store, TICKET);
            assert!(masked.is_ok_and(|masked| masked.spans.len() == 2));
        }),
    ]);
    line(&format!("mask: a ticket of {} bytes, two values", TICKET.len()), &took);

    let transcripts = gateway::read()?;
    let document = transcripts.document.to_string();
    for (name, case) in [
        ("receive: a signed webhook, verified", "a webhook that is signed as agreed"),
        ("receive: verified, mapped and masked", "mapped to the platform's words"),
    ] {
        let case =
            transcripts.cases.iter().find(|c| c.name == case).context("no such transcript")?;
        let headers = case.headers(NOW)?;
        let body = String::from_utf8(case.bytes()?)?;
        let took = super::super::in_turns(&mut [
            ("native", &mut || {
                let request = native_gateway::Request {
                    method: case.method.clone(),
                    path: case.path.clone(),
                    headers: headers.clone(),
                    body: Some(body.clone()),
                };
                let verdict =
                    <Native as native_gateway::Guest>::receive(document.clone(), request, NOW.0);
                assert!(matches!(verdict, Ok(native_gateway::Verdict::Onward(_))));
            }),
            ("component", &mut || {
                use bindings::exports::firn::sync::gateway::{Request, Verdict};
                let request = Request {
                    method: case.method.clone(),
                    path: case.path.clone(),
                    headers: headers.clone(),
                    body: Some(body.clone()),
                };
                let verdict =
                    core.firn_sync_gateway().call_receive(&mut store, &document, &request, NOW.0);
                assert!(matches!(verdict, Ok(Ok(Verdict::Onward(_)))));
            }),
        ]);
        line(&format!("{name} ({} bytes)", body.len()), &took);
    }
    let took = super::super::in_turns(&mut [("open", &mut || {
        assert!(Gateway::open(&document, &|_| None).is_ok());
    })]);
    println!(
        "a gateway's document of {} bytes read natively: {:.0} microseconds",
        document.len(),
        took[0]
    );
    Ok(())
}
