// What pint (https://cloudflare.github.io/pint/) checks of the generated rules; `.ci/pint` runs it, without a Prometheus.

parser {
  include = [".*[.]rules[.]yml"]
}

// Prometheus writes `file;group` into rule_group, and only the group's name is known here.
check "promql/regexp" {
  smelly = false
}

// It always fires: that is what it is for.
rule {
  match {
    kind = "alerting"
    name = "PGQueueWatchdog"
  }
  disable = ["alerts/comparison"]
}
