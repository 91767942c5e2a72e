-- What pg-boss itself has recorded as out of order.
select type::text as type, count(*) as warnings
  from {warning}
 where created_on > to_timestamp({after}) and created_on <= to_timestamp({until})
 group by 1
