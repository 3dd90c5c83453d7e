//! `vswctl trace`: what would happen to a frame, step by step.

use vswitch_api::hex;
use vswitch_api::request::Trace;
use vswitch_api::types::TraceReply;

use crate::failure::Failure;
use crate::frame_text;
use crate::render::{Cell, Format, Look, Style, Table, View};
use crate::session::Session;

#[derive(Debug, clap::Args)]
#[command(after_help = frame_text::GRAMMAR)]
pub(crate) struct Args {
    /// The port that the frame would come in by
    port: String,
    /// The frame: hex, or words; see below
    #[arg(required = true, value_name = "FRAME")]
    frame: Vec<String>,
    /// The VLAN of a tag that the device took out of the frame
    #[arg(long)]
    vlan: Option<u16>,
    /// The priority of that tag
    #[arg(long, requires = "vlan", value_parser = clap::value_parser!(u8).range(0..=7))]
    pcp: Option<u8>,
}

pub(crate) fn run(args: &Args, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let frame = frame_text::parse(&args.frame.join(" "))?;
    let request = Trace {
        port: args.port.clone(),
        frame_hex: hex::encode(&frame),
        vlan: args.vlan,
        pcp: args.pcp,
    };
    let reply = session.call(request)?;
    let view = view(&reply, &session.look)?;
    session.show(&view)
}

fn view(reply: &TraceReply, look: &Look) -> Result<View, Failure> {
    let mut table = Table::new(&["STAGE", "OBJECT", "TEXT"]);
    for step in &reply.steps {
        let style = match step.stage.as_str() {
            "out" => Style::Good,
            "drop" => Style::Bad,
            "skip" => Style::Dim,
            "punt" => Style::Warn,
            _ => Style::Plain,
        };
        let reason = step
            .reason
            .as_ref()
            .map_or_else(String::new, |reason| format!("  [{reason}]"));
        table.row(vec![
            Cell::new(style, &step.stage),
            step.object.as_deref().unwrap_or_default().into(),
            format!("{}{reason}", step.text).into(),
        ]);
    }
    let plain = Look {
        headers: false,
        columns: Vec::new(),
        sort: None,
        format: Format::Table,
        ..look.clone()
    };
    let mut text = View::table(&(), table, Vec::new()).print(&plain)?;
    let count = reply.copies.len();
    let outcome = match (reply.verdict.as_str(), &reply.reason) {
        ("drop", Some(reason)) => format!("dropped: {reason}"),
        ("punt", Some(reason)) => format!("handed to the control side: {reason}"),
        (_, _) if count == 1 => "1 copy".to_owned(),
        _ => format!("{count} copies"),
    };
    let arrow = look.paint(
        Style::Strong,
        &crate::render::clean(&format!("=> {outcome}.")),
    );
    text.push_str(&format!(
        "{arrow} Simulation: nothing was sent or learned.\n"
    ));
    let names = reply.copies.iter().map(|copy| copy.port.clone()).collect();
    Ok(View::text(reply, text, names))
}
