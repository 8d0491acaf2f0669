//! Which cores of a lab forward.

use super::lab::Lab;
use crate::dpdk::{Lcore, lcores};

impl Lab {
    /// The cores that forward, in the order in which they get streams; not more than are wanted get any.
    pub(super) fn forwarders(&self) -> Vec<&Lcore> {
        let of_id = |id: &u32| self.lcores.iter().find(|lcore| lcore.id.0 == *id);
        match &self.options.core_list {
            Some(list) => list.iter().filter_map(of_id).collect(),
            None => self.lcores.iter().collect(),
        }
    }

    /// How many of them forward from the next start on (`set nbcore`, `--nb-cores`).
    ///
    /// # Errors
    /// There are not so many; words for people.
    pub(super) fn set_cores(&mut self, cores: usize) -> Result<(), String> {
        let there: Vec<u32> = self.forwarders().into_iter().map(|lcore| lcore.id.0).collect();
        must_be_there(cores, &there, self.options.core_list.is_some())?;
        self.options.cores = cores;
        Ok(())
    }

    /// Which ones (`set corelist`), and so how many; they are returned.
    ///
    /// # Errors
    /// They cannot forward; words for people.
    pub(super) fn set_core_list(&mut self, list: &str) -> Result<Vec<u32>, String> {
        let list = chosen(list, &lcores(self.eal()))?;
        self.options.cores = list.len();
        self.options.core_list = Some(list.clone());
        Ok(list)
    }
}

fn must_be_there(cores: usize, there: &[u32], is_list: bool) -> Result<(), String> {
    let count = there.len();
    let named = listed(there);
    match cores {
        0 => Err("at least one core has to forward".to_owned()),
        _ if cores <= count => Ok(()),
        _ if is_list => Err(format!("{cores} cores of {named}: `set corelist` names {count}; name more")),
        _ => Err(format!(
            "{cores} cores: {count} may forward, {named}: the main core answers the prompt, and forwards only where it is alone; name more \
             before the --, as -l 0-{cores}"
        )),
    }
}

/// The cores of a list, all of which may forward.
fn chosen(list: &str, all: &[Lcore]) -> Result<Vec<u32>, String> {
    let mut chosen = Vec::new();
    for word in list.split(',') {
        let id: u32 = word.parse().map_err(|_| {
            format!("set corelist {list}: numbers of cores with commas between are wanted, as 2,3; {word:?} is none")
        })?;
        let Some(lcore) = all.iter().find(|lcore| lcore.id.0 == id) else {
            let there: Vec<u32> = all.iter().map(|lcore| lcore.id.0).collect();
            return Err(format!("core {id} is not among those that -l names: {}", listed(&there)));
        };
        if lcore.is_main && all.len() > 1 {
            return Err(format!(
                "core {id} is the main one, which answers the prompt: it forwards only where it is alone"
            ));
        }
        if chosen.contains(&id) {
            return Err(format!("core {id} is named twice"));
        }
        chosen.push(id);
    }
    Ok(chosen)
}

fn listed(cores: &[u32]) -> String {
    let words: Vec<String> = cores.iter().map(ToString::to_string).collect();
    words.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpdk::LcoreId;

    fn machine(cores: &[u32]) -> Vec<Lcore> {
        let lcore = |(at, id): (usize, &u32)| Lcore { id: LcoreId(*id), cpus: vec![at], socket: 0, is_main: at == 0 };
        cores.iter().enumerate().map(lcore).collect()
    }

    #[test]
    fn a_list_names_cores_that_may_forward_once_each() {
        let all = machine(&[0, 2, 5]);
        assert_eq!(chosen("5,2", &all), Ok(vec![5, 2]));
        assert_eq!(chosen("0", &machine(&[0])), Ok(vec![0]), "alone, the main one forwards");
        for (list, why) in [
            ("0", "core 0 is the main one"),
            ("2,0", "core 0 is the main one"),
            ("2,2", "core 2 is named twice"),
            ("7", "core 7 is not among those that -l names: 0,2,5"),
            ("", "\"\" is none"),
            ("2,", "\"\" is none"),
            ("2-5", "\"2-5\" is none"),
        ] {
            let error = chosen(list, &all).unwrap_err();
            assert!(error.contains(why), "{list}: {error}");
        }
    }

    #[test]
    fn no_more_cores_than_there_are_and_not_none() {
        assert_eq!(must_be_there(2, &[2, 5], false), Ok(()));
        let refused = |cores, is_list| must_be_there(cores, &[2, 5], is_list).unwrap_err();
        assert!(refused(0, false).contains("at least one"));
        assert!(refused(3, false).contains("2 may forward, 2,5") && refused(3, false).contains("-l 0-3"));
        assert!(refused(3, true).contains("`set corelist` names 2"));
    }
}
