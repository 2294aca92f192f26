//! What a seed draws: the two sides, their quirks, and the integration between them.

use firn_core::preset;
use firn_model::{
    ClosedPolicy, CorrelationMode, Integration, IntegrationId, OffOwner, Owner, PlatformContract,
    Polling, Preset, Strategy, TableName, TenantId, TicketType,
};

use super::{Site, TIMEOUT, TRANSACTION_LIMIT};
use crate::sim::platform::Platform;
use crate::sim::servicenow::{Quirks, ServiceNow};

pub(super) fn site(rng: &mut fastrand::Rng, n: usize, tenant: &str) -> Site {
    let integration = integration(rng, n, tenant);
    let quirks = quirks(rng);
    let servicenow = ServiceNow::new(&integration.settings, quirks);
    Site::new(integration, servicenow, Platform::new(clock(rng)))
}

/// A bot that asks for tickets, and is told of nothing.
pub(super) fn bot(rng: &mut fastrand::Rng, n: usize, tenant: &str) -> Site {
    let mut drawn = site(rng, n, tenant);
    let settings = &mut drawn.integration.settings;
    let bot = preset::settings(Preset::Bot);
    (settings.preset, settings.fields, settings.categories) =
        (bot.preset, bot.fields, bot.categories);
    settings.correlation.closed =
        [ClosedPolicy::Reopen, ClosedPolicy::New, ClosedPolicy::Append][rng.usize(0..3)];
    drawn.integration.platform = PlatformContract::default();
    drawn
}

/// How far a clock is off: mostly right, now and then by seconds or by ten minutes.
fn clock(rng: &mut fastrand::Rng) -> i64 {
    match rng.u32(0..8) {
        0 => rng.i64(-4_000..4_000),
        1 => rng.i64(-600_000..600_000),
        _ => 0,
    }
}

/// What documents do not settle, one way or the other.
fn quirks(rng: &mut fastrand::Rng) -> Quirks {
    let drawn = Quirks {
        comment_is_no_update: rng.u32(0..4) == 0,
        no_change_counts: rng.u32(0..4) == 0,
        deletions_hidden: rng.u32(0..4) == 0,
        journal_hidden: rng.u32(0..16) == 0,
        clock: clock(rng),
        columns_left_out: rng.bool(),
        case_matters: rng.bool(),
        ..Quirks::default()
    };
    // Without a draw of its own, so that seeds stay what they were.
    Quirks { history_hidden: drawn.columns_left_out && drawn.case_matters, ..drawn }
}

fn integration(rng: &mut fastrand::Rng, n: usize, tenant: &str) -> Integration {
    let mut settings = preset::settings(Preset::Incidents);
    settings.request_timeout = TIMEOUT;
    settings.correlation.transaction_limit = TRANSACTION_LIMIT;
    if rng.bool() {
        settings.correlation.mode = CorrelationMode::Unique;
    }
    settings.strategy =
        [Strategy::LastWriteWins, Strategy::OwnershipPriority, Strategy::ManualReview]
            [rng.usize(0..3)];
    settings.journal.work_notes_to_platform = rng.bool();
    settings.polling.interval = 20_000;
    settings.polling.interval_alone = 5_000;
    settings.polling.mode = match rng.u32(0..8) {
        0 => Polling::Off,
        1 => Polling::Alone,
        _ => Polling::Behind,
    };
    if rng.bool() {
        settings.tickets.push(TicketType {
            table: TableName::new("problem").unwrap_or_else(|_| unreachable!()),
            when: Some("false".to_owned()),
        });
    }
    for field in settings.fields.values_mut() {
        field.owner = Some([Owner::Platform, Owner::External, Owner::Shared][rng.usize(0..3)]);
        field.off_owner = Some(
            [OffOwner::Restored, OffOwner::Restored, OffOwner::Kept, OffOwner::Adopted]
                [rng.usize(0..4)],
        );
        field.platform_priority = Some(rng.i32(0..3));
        field.external_priority = Some(rng.i32(0..3));
    }
    Integration {
        id: IntegrationId::new(format!("int-{}", n + 1)).unwrap_or_else(|_| unreachable!()),
        tenant: TenantId::new(tenant).unwrap_or_else(|_| unreachable!()),
        slug: format!("snow-{n}"),
        name: "Production ServiceNow".to_owned(),
        // Each has an instance of its own.
        base_url: format!("https://example-{n}.service-now.com"),
        platform: PlatformContract {
            callback_url: Some("https://platform.example/callback".to_owned()),
            read_url: Some("https://platform.example/records/{id}".to_owned()),
            ..PlatformContract::default()
        },
        enabled: true,
        version: 0,
        rules: None,
        restored: None,
        settings,
    }
}
