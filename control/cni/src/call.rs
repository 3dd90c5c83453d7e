//! One call of the plugin: what is asked, of which pod, with which configuration.

use crate::config::NetConf;
use crate::spec::Env;
use vswitch_api::types::Attachment;
use vswitch_base::MacAddr;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The version of the specification that is spoken.
    pub(crate) version: &'static str,
    pub(crate) env: Env,
    pub(crate) config: NetConf,
}

impl Call {
    /// Who owns the port.
    pub(crate) fn attachment(&self) -> Attachment {
        Attachment {
            network: self.config.name.clone(),
            container_id: self.env.container_id.clone(),
            ifname: self.env.ifname.clone(),
        }
    }

    /// The address of the pod's interface: the one asked for, or one that follows from the attachment, so that
    /// it is the same when the pod's sandbox is made anew.
    pub(crate) fn mac(&self) -> MacAddr {
        self.config.mac.unwrap_or_else(|| {
            let mut bytes = [0; 6];
            bytes.copy_from_slice(&self.attachment().hash().to_be_bytes()[..6]);
            // Locally administered, a station's.
            bytes[0] = bytes[0] & 0xfc | 0x02;
            MacAddr(bytes)
        })
    }
}
