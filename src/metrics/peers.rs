//! Series of single peers, under the names of MindFlavor's prometheus_wireguard_exporter, which dashboards know.

use super::Page;
use super::source::{PeerSample, Source};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;
use std::sync::Arc;

/// Reads so many peers at each scrape.
#[derive(Debug)]
pub(super) struct Peers {
    pub(super) source: Arc<dyn Source>,
    pub(super) most: usize,
}

impl Collector for Peers {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if self.most == 0 {
            return Ok(());
        }
        // What is left out is a gap in the graph; what is told wrong is a peer that has gone.
        let Some(samples) = self.source.peers(self.most) else { return Ok(()) };
        let mut page = Page(encoder);
        let family = |page: &mut Page<'_>, name: &str, help: &str, counts: bool, value: fn(&PeerSample) -> u64| {
            let write = |out: &mut super::Samples<'_>| {
                samples.peers.iter().try_for_each(|peer| {
                    let PeerSample { interface, public_key, allowed_ips, friendly_name, .. } = peer;
                    let labels = [
                        ("interface", interface.as_str()),
                        ("public_key", public_key.as_str()),
                        ("allowed_ips", allowed_ips.as_str()),
                        ("friendly_name", friendly_name.as_str()),
                    ];
                    out.add(&labels, value(peer))
                })
            };
            if counts { page.counters(name, help, write) } else { page.gauges(name, help, write) }
        };
        family(&mut page, "wireguard_sent_bytes", "Bytes sent to the peer", true, |p| p.sent_bytes)?;
        family(&mut page, "wireguard_received_bytes", "Bytes received from the peer", true, |p| p.received_bytes)?;
        // Unix time, whatever its name says: as the exporter has it.
        let help = "UNIX timestamp seconds of the last handshake";
        family(&mut page, "wireguard_latest_handshake_seconds", help, false, |p| p.latest_handshake.as_secs())?;
        page.gauges("culvert_peers_left_out", "Peers beyond per_peer_max, which have no series.", |out| {
            out.add(&[], samples.left_out)
        })
    }
}
