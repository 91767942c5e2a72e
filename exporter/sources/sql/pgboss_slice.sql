t.state in ('completed', 'cancelled', 'failed') and t.completed_on > to_timestamp({after})
                          and t.completed_on <= to_timestamp({until})
