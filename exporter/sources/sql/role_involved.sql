-- Everything whose owner can have code run in whoever reads some relations: these, their partitions and children, what a
-- view is made of, servers of foreign tables, and the functions, operators and types in what the planner looks into: expressions of indexes,
-- statistics, checks and partition keys, columns' types. (Operator classes and casts of built-in types are a superuser's;
-- policies, defaults, triggers and generated columns do not run.)
with recursive tree as (
  select c.oid, c.relkind, c.relowner from pg_class c
   where c.oid = any ({roots}) and c.relkind in ('r', 'p', 'v', 'm', 'f')
  union
  select c.oid, c.relkind, c.relowner
    from tree t
   cross join lateral (select i.inhrelid from pg_inherits i where i.inhparent = t.oid
                       union all
                       select d.refobjid from pg_rewrite w
                         join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid
                                         and d.refclassid = 'pg_class'::regclass
                        where w.ev_class = t.oid and t.relkind = 'v') n(oid)
    join pg_class c on c.oid = n.oid and c.relkind in ('r', 'p', 'v', 'm', 'f')
), looked_into as (
  select t.oid as relation, p.class::oid as class, p.object
    from tree t
   cross join lateral (select 'pg_class'::regclass, t.oid
                       union all
                       select 'pg_class'::regclass, i.indexrelid from pg_index i
                        where i.indrelid = t.oid and (i.indexprs is not null or i.indpred is not null)
                       union all
                       select 'pg_statistic_ext'::regclass, s.oid from pg_statistic_ext s where s.stxrelid = t.oid
                       union all
                       select 'pg_constraint'::regclass, k.oid from pg_constraint k
                        where k.conrelid = t.oid and k.contype = 'c'
                       union all
                       select 'pg_rewrite'::regclass, w.oid from pg_rewrite w where w.ev_class = t.oid) p(class, object)
), used as (
  select l.relation, d.refclassid, d.refobjid
    from looked_into l
    join pg_depend d on d.classid = l.class and d.objid = l.object
                    and d.refclassid in ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_type'::regclass)
)
select 'pg_class'::regclass::oid as class, t.oid as object, t.relowner as owner, t.oid as relation from tree t
union all
select 'pg_foreign_server'::regclass, s.oid, s.srvowner, t.oid
  from tree t join pg_foreign_table f on f.ftrelid = t.oid join pg_foreign_server s on s.oid = f.ftserver
union all
select 'pg_type'::regclass, y.oid, y.typowner, u.relation
  from used u join pg_type y on u.refclassid = 'pg_type'::regclass and y.oid = u.refobjid
union all
select 'pg_operator'::regclass, o.oid, o.oprowner, u.relation
  from used u join pg_operator o on u.refclassid = 'pg_operator'::regclass and o.oid = u.refobjid
union all
select 'pg_proc'::regclass, p.oid, p.proowner, u.relation
  from used u
  left join pg_operator o on u.refclassid = 'pg_operator'::regclass and o.oid = u.refobjid
  join pg_proc p on p.oid = coalesce(o.oprcode::oid, u.refobjid) and u.refclassid <> 'pg_type'::regclass
