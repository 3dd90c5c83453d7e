//! Every method of the control socket as a value: [`Request`], one variant a method.
//!
//! A method is a parameter struct that implements [`Method`]; its name, role, whether it
//! streams, and the type of its reply are written once, in the table below. `decode` never
//! panics on what a stranger sends: unknown methods, unknown, missing or mistyped parameters
//! are errors that name them. Values that need the configuration to be judged (does the bridge
//! exist?) are not judged here. Pure; any thread. Implements house.md 4.6 and interfaces.md §4.

mod params;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use params::*;

use crate::error::ApiError;
use crate::interfaces;
use crate::text::nearest;
use crate::types;

/// Who may call a method, by the caller's credentials on the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Everyone who can connect: introspection.
    Anyone,
    /// Root, `admin_group` and `monitor_group`: reads.
    Monitor,
    /// Root and `admin_group`: changes, and looking into frames.
    Admin,
}

/// How often a method answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// Once.
    Once,
    /// Once, or with `more` in several replies that end by themselves.
    Pages,
    /// Until the caller hangs up; needs `more`.
    Stream,
}

/// A method: its parameters are `Self`.
pub trait Method: Serialize + DeserializeOwned + Into<Request> {
    /// The qualified name.
    const NAME: &'static str;
    /// Who may call it.
    const ROLE: Role;
    /// How often it answers.
    const ANSWERS: Answers;
    /// What it answers with.
    type Reply: Serialize + DeserializeOwned;
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:literal $params:ident $role:ident $answers:ident -> $reply:ident;)+) => {
        /// A call, decoded.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Request { $($(#[$doc])* $params($params)),+ }

        impl Request {
            /// Every method that there is, with its qualified name.
            pub const METHODS: &'static [&'static str] = &[$($name),+];

            /// Reads the parameters of `method`.
            ///
            /// # Errors
            ///
            /// `InterfaceNotFound`, `MethodNotFound` with the nearest method, or
            /// `InvalidParameter` with the parameter that is wrong.
            pub fn decode(method: &str, parameters: &Value) -> Result<Self, ApiError> {
                match method {
                    $($name => read::<$params>(parameters).map(Self::$params),)+
                    _ => Err(unknown(method)),
                }
            }

            /// The qualified name of the method.
            pub const fn method(&self) -> &'static str {
                match self { $(Self::$params(_) => $name),+ }
            }

            /// Who may call it.
            pub const fn role(&self) -> Role {
                match self { $(Self::$params(_) => Role::$role),+ }
            }

            /// How often it answers.
            pub const fn answers(&self) -> Answers {
                match self { $(Self::$params(_) => Answers::$answers),+ }
            }

            /// The parameters as the call carries them.
            pub fn parameters(&self) -> Value {
                let value = match self { $(Self::$params(params) => serde_json::to_value(params)),+ };
                value.unwrap_or_else(|_| Map::new().into()) // Structs of plain fields always are values.
            }
        }

        $(
            impl From<$params> for Request {
                fn from(params: $params) -> Self {
                    Self::$params(params)
                }
            }

            impl Method for $params {
                const NAME: &'static str = $name;
                const ROLE: Role = Role::$role;
                const ANSWERS: Answers = Answers::$answers;
                type Reply = types::$reply;
            }
        )+
    };
}

methods! {
    /// Vendor, version and interfaces of the service.
    "org.varlink.service.GetInfo" GetInfo Anyone Once -> ServiceInfo;
    /// The text of one interface.
    "org.varlink.service.GetInterfaceDescription" GetInterfaceDescription Anyone Once -> InterfaceDescription;

    /// The switch in one screen.
    "io.vswitch.Switch.GetHealth" GetHealth Monitor Once -> HealthReply;
    /// Bridges and ports as they are.
    "io.vswitch.Switch.GetState" GetState Monitor Once -> StateReply;
    /// The state, then every event.
    "io.vswitch.Switch.Watch" Watch Monitor Stream -> WatchReply;
    /// The configuration as JSON.
    "io.vswitch.Switch.GetConfig" GetConfig Monitor Once -> ConfigReply;
    /// What applying a configuration would do.
    "io.vswitch.Switch.Plan" Plan Monitor Once -> PlanReply;
    /// Makes the given configuration the running one; all of it or nothing.
    "io.vswitch.Switch.Apply" Apply Admin Once -> ChangeReply;
    /// A new bridge.
    "io.vswitch.Switch.AddBridge" AddBridge Admin Once -> ChangeReply;
    /// Changes options of a bridge.
    "io.vswitch.Switch.SetBridge" SetBridge Admin Once -> ChangeReply;
    /// Takes a bridge away.
    "io.vswitch.Switch.DelBridge" DelBridge Admin Once -> ChangeReply;
    /// A new port.
    "io.vswitch.Switch.AddPort" AddPort Admin Once -> ChangeReply;
    /// Changes options of a port.
    "io.vswitch.Switch.SetPort" SetPort Admin Once -> ChangeReply;
    /// Takes a port away.
    "io.vswitch.Switch.DelPort" DelPort Admin Once -> ChangeReply;
    /// Puts a port or host port into VLANs.
    "io.vswitch.Switch.AddVlan" AddVlan Admin Once -> ChangeReply;
    /// Takes a port or host port out of VLANs.
    "io.vswitch.Switch.DelVlan" DelVlan Admin Once -> ChangeReply;

    /// Bonds as they are.
    "io.vswitch.Bond.List" BondList Monitor Once -> BondsReply;
    /// A new bond.
    "io.vswitch.Bond.Add" BondAdd Admin Once -> ChangeReply;
    /// Changes options of a bond.
    "io.vswitch.Bond.Set" BondSet Admin Once -> ChangeReply;
    /// Takes a bond away.
    "io.vswitch.Bond.Del" BondDel Admin Once -> ChangeReply;
    /// Puts a port into a bond.
    "io.vswitch.Bond.AddMember" BondAddMember Admin Once -> ChangeReply;
    /// Takes a member out of a bond.
    "io.vswitch.Bond.DelMember" BondDelMember Admin Once -> ChangeReply;
    /// Makes a member the active one.
    "io.vswitch.Bond.SetActive" BondSetActive Admin Once -> SetActiveReply;
    /// Which member would send a frame.
    "io.vswitch.Bond.Hash" BondHash Monitor Once -> HashReply;

    /// Gives an attachment its port.
    "io.vswitch.Port.Attach" Attach Admin Once -> AttachReply;
    /// Takes the port of an attachment away.
    "io.vswitch.Port.Detach" Detach Admin Once -> DetachReply;
    /// Whether an attachment has its port.
    "io.vswitch.Port.Check" CheckAttachment Monitor Once -> CheckReply;
    /// Detaches what is no longer valid.
    "io.vswitch.Port.CollectGarbage" CollectGarbage Admin Once -> GarbageReply;
    /// Whether attaching can succeed.
    "io.vswitch.Port.Ready" Ready Monitor Once -> ReadyReply;
    /// Attachments.
    "io.vswitch.Port.List" ListAttachments Monitor Once -> AttachmentsReply;

    /// Known addresses.
    "io.vswitch.Fdb.List" FdbList Monitor Pages -> FdbPage;
    /// Configures an address.
    "io.vswitch.Fdb.Add" FdbAdd Admin Once -> ChangeReply;
    /// Takes a configured address away.
    "io.vswitch.Fdb.Del" FdbDel Admin Once -> ChangeReply;
    /// Forgets learned addresses.
    "io.vswitch.Fdb.Flush" FdbFlush Admin Once -> FdbFlushed;
    /// Known addresses, then every change of them.
    "io.vswitch.Fdb.Watch" FdbWatch Monitor Stream -> FdbEvent;

    /// Counters of ports.
    "io.vswitch.Stats.Ports" StatsPorts Monitor Once -> PortsReply;
    /// Dropped frames by reason, explained.
    "io.vswitch.Stats.Drops" StatsDrops Monitor Once -> DropsReply;
    /// Counters of VLANs.
    "io.vswitch.Stats.Vlans" StatsVlans Monitor Once -> VlansReply;

    /// What would happen to a frame.
    "io.vswitch.Debug.Trace" Trace Monitor Once -> TraceReply;
    /// Frames as they pass a port.
    "io.vswitch.Debug.Capture" Capture Admin Stream -> CaptureReply;
    /// Frames onto the wire of a port of memory; for tests.
    "io.vswitch.Debug.PutFrames" PutFrames Admin Once -> Done;
    /// Frames off the wire of a port of memory; for tests.
    "io.vswitch.Debug.TakeFrames" TakeFrames Admin Once -> FramesReply;
    /// Stops the clock and sets it forward; for tests.
    "io.vswitch.Debug.WarpClock" WarpClock Admin Once -> ClockReply;

    /// The daemon itself and its threads.
    "io.vswitch.Daemon.GetInfo" DaemonGetInfo Monitor Once -> DaemonInfo;
    /// Changes what is logged.
    "io.vswitch.Daemon.SetLogLevel" SetLogLevel Admin Once -> Done;
}

impl Request {
    /// The generation that the caller based its change on, where the method has one.
    pub const fn expect_generation(&self) -> Option<u64> {
        match self {
            Self::Apply(Apply {
                expect_generation, ..
            })
            | Self::AddBridge(AddBridge {
                expect_generation, ..
            })
            | Self::SetBridge(SetBridge {
                expect_generation, ..
            })
            | Self::DelBridge(DelBridge {
                expect_generation, ..
            })
            | Self::AddPort(AddPort {
                expect_generation, ..
            })
            | Self::SetPort(SetPort {
                expect_generation, ..
            })
            | Self::DelPort(DelPort {
                expect_generation, ..
            })
            | Self::AddVlan(AddVlan {
                expect_generation, ..
            })
            | Self::DelVlan(DelVlan {
                expect_generation, ..
            })
            | Self::BondAdd(BondAdd {
                expect_generation, ..
            })
            | Self::BondSet(BondSet {
                expect_generation, ..
            })
            | Self::BondDel(BondDel {
                expect_generation, ..
            })
            | Self::BondAddMember(BondAddMember {
                expect_generation, ..
            })
            | Self::BondDelMember(BondDelMember {
                expect_generation, ..
            })
            | Self::FdbAdd(FdbAdd {
                expect_generation, ..
            })
            | Self::FdbDel(FdbDel {
                expect_generation, ..
            }) => *expect_generation,
            _ => None,
        }
    }

    /// Whether the caller only wants to know what would be changed.
    pub const fn dry_run(&self) -> bool {
        match self {
            Self::Apply(Apply { dry_run, .. })
            | Self::AddBridge(AddBridge { dry_run, .. })
            | Self::SetBridge(SetBridge { dry_run, .. })
            | Self::DelBridge(DelBridge { dry_run, .. })
            | Self::AddPort(AddPort { dry_run, .. })
            | Self::SetPort(SetPort { dry_run, .. })
            | Self::DelPort(DelPort { dry_run, .. })
            | Self::AddVlan(AddVlan { dry_run, .. })
            | Self::DelVlan(DelVlan { dry_run, .. })
            | Self::BondAdd(BondAdd { dry_run, .. })
            | Self::BondSet(BondSet { dry_run, .. })
            | Self::BondDel(BondDel { dry_run, .. })
            | Self::BondAddMember(BondAddMember { dry_run, .. })
            | Self::BondDelMember(BondDelMember { dry_run, .. })
            | Self::FdbAdd(FdbAdd { dry_run, .. })
            | Self::FdbDel(FdbDel { dry_run, .. }) => *dry_run,
            _ => false,
        }
    }
}

fn unknown(method: &str) -> ApiError {
    let shown = crate::text::excerpt(method, 128);
    let Some((interface, name)) = method.rsplit_once('.') else {
        return ApiError::MethodNotFound {
            method: shown,
            hint: Some(
                "a method is called as INTERFACE.METHOD, such as io.vswitch.Switch.GetState"
                    .to_owned(),
            ),
        };
    };
    if interfaces::text(interface).is_none() {
        return ApiError::InterfaceNotFound {
            interface: crate::text::excerpt(interface, 128),
        };
    }
    let prefix = format!("{interface}.");
    let names = Request::METHODS
        .iter()
        .filter_map(|known| known.strip_prefix(prefix.as_str()));
    let hint = nearest(name, names).map(|near| format!("did you mean \"{interface}.{near}\"?"));
    ApiError::MethodNotFound {
        method: shown,
        hint,
    }
}

/// Reads a parameter struct; an error names the parameter.
fn read<T: DeserializeOwned>(parameters: &Value) -> Result<T, ApiError> {
    let error = match T::deserialize(parameters) {
        Ok(params) if parameters.is_object() => return Ok(params),
        Ok(_) => {
            return Err(ApiError::parameter(
                "parameters",
                "the parameters of a call are an object",
            ));
        }
        Err(error) => error.to_string(),
    };
    let Some(object) = parameters.as_object() else {
        return Err(ApiError::parameter(
            "parameters",
            "the parameters of a call are an object",
        ));
    };
    let complaint = crate::config::tree::Complaint::read(&error);
    if let Some(key) = complaint.key {
        return Err(ApiError::InvalidParameter {
            hint: complaint.hint,
            message: complaint.message,
            parameter: key,
        });
    }
    // The wrong one is the one without which the complaint is another.
    let mut rest = object.clone();
    let culprit = object.keys().find(|key| {
        let Some(value) = rest.remove(*key) else {
            return false;
        };
        let other = T::deserialize(&Value::Object(rest.clone()));
        rest.insert((*key).clone(), value);
        other.map_or_else(|other| other.to_string() != error, |_| true)
    });
    Err(ApiError::parameter(
        culprit.map_or("parameters", String::as_str),
        complaint.message,
    ))
}

#[cfg(test)]
mod tests;
