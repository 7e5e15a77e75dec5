//! What is said about a kept lab.

use crate::args::Web;
use crate::cluster_file;
use crate::lab::LOGS;
use crate::nginx;
use crate::plan::{Plan, VIP_V4, VIP_V6};
use crate::topology::CLIENT;

/// How to reach the lab, where its files are, and how to end it.
pub(crate) fn how_to_use(plan: &Plan, web: Web) -> String {
    let (id, directory) = (&plan.id, plan.directory());
    let directory = directory.display();
    let client = plan.namespace(CLIENT);
    let mut words = format!(
        "\nlab {id} stays up\n\
         \x20 ask       ip netns exec {client} curl -i http://{VIP_V4}/\n\
         \x20           ip netns exec {client} curl -i 'http://[{VIP_V6}]/'\n"
    );
    words.push_str(&match web {
        Web::Embedded => format!(
            "\x20 download  ip netns exec {client} curl -o /dev/null http://{VIP_V4}/bytes/104857600\n\
             \x20 upload    ip netns exec {client} curl -T FILE http://{VIP_V4}/upload\n"
        ),
        Web::Nginx => format!(
            "\x20 https     ip netns exec {client} curl --cacert {directory}/{} https://{VIP_V4}/\n\
             \x20 download  ip netns exec {client} curl -o OUT http://{VIP_V4}/100MiB; \
             cmp OUT {directory}/{root}/100MiB\n\
             \x20 upload    ip netns exec {client} curl -T FILE http://{VIP_V4}/upload/1; \
             cmp FILE {directory}/{root}/upload/1\n",
            nginx::CERTIFICATE,
            root = nginx::ROOT,
        ),
    });
    for node in [plan.nodes.first()].into_iter().flatten() {
        let (admin, name) = (Plan::admin(node), &node.name);
        words.push_str(&format!(
            "\x20 metrics   ip netns exec {client} curl http://{admin}/metrics  ({name})\n"
        ));
    }
    words.push_str(&format!(
        "\x20 config    {directory}/{}\n\x20 logs      {directory}/{LOGS}/\n\
         \x20 end       jlb lab down {id}\n",
        cluster_file::FILE
    ));
    words
}
